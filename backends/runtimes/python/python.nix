# The same facts as python.ini.
{ pkgs, ... }:
{
  mimeTypes = [
    "application/python"
    "application/python+3"
    "application/x-python"
    "text/x-python"
    "text/python"
  ];
  concurrency = 1;
  guest.environment = {
    systemPackages = with pkgs; [ python3 ];
    debian = [ "python3" "ca-certificates" ];
  };
  executor = {
    command = "python3";
    flags = [ "-I" "-S" ];
    file = "executor.py";
    permissionFlags = { };
  };
}
