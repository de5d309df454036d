using System.CommandLine;
using Samples;
using Site;

var name = CommandLine.Text("--name", "NAME", "What it calls itself in its answers.", "site");
var listen = CommandLine.EndPoint("--listen", "Where it listens.");
var serve = new Command("serve", "Serves a site: every answer says what the request looked like here.") { name, listen };
serve.SetAction((options, stop) => EchoSite.RunAsync(options.GetRequiredValue(name), options.GetRequiredValue(listen), stop));

var folder = new Argument<string>("FOLDER") { Description = "Is made where it does not exist; files in it are replaced." };
var secrets = new Command("secrets", "Makes certificates, keys, a token and a password file for the tour.") { folder };
secrets.SetAction(options => TourSecrets.Write(options.GetRequiredValue(folder)));

var command = new RootCommand("A site behind the load balancer, and the secrets of the tour.") { serve, secrets };
return await command.Parse(args).InvokeAsync();
