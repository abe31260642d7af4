# The same facts as node.ini.
{ pkgs, ... }:
{
  mimeTypes = [ "application/javascript+node" "text/javascript+node" ];
  concurrency = 1;
  guest.environment = {
    systemPackages = with pkgs; [ nodejs ];
    debian = [ "nodejs" "ca-certificates" ];
  };
  executor = {
    command = "node";
    flags = [ "--no-warnings" ];
    file = "executor.mjs";
    permissionFlags = { memory = "--max-old-space-size={}"; };
  };
}
