// After a wrong token the server redirects back here with ?wrong-token.
document.getElementById('wrong').hidden = !new URLSearchParams(location.search).has('wrong-token');
