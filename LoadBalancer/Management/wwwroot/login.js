// The server sends whoever gave a wrong token back here with ?wrong-token.
document.getElementById('wrong').hidden = !new URLSearchParams(location.search).has('wrong-token');
