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
    prepare = [ "/usr/bin/python3 -I -S -m compileall -q --invalidation-mode unchecked-hash -x '(test|idlelib|lib2to3|tkinter)' /usr/lib/python3.11" ];
  };
  executor = {
    command = "python3";
    flags = [ "-I" "-S" ];
    file = "executor.py";
    permissionFlags = { };
  };
}
