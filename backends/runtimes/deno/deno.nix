# The same facts as deno.ini.
{ pkgs, ... }:
{
  mimeTypes = [
    "application/javascript+deno"
    "application/typescript+deno"
    "application/javascript"
    "text/javascript"
    "application/typescript"
    "text/typescript"
  ];
  concurrency = 1;
  guest.environment = {
    systemPackages = with pkgs; [ deno ];
    debian = [ "libc6" "libgcc-s1" "ca-certificates" ];
    npm = [ "deno" ];
  };
  executor = {
    command = "deno";
    flags = [
      "run"
      "--quiet"
      "--no-prompt"
      "--no-remote"
      "--no-npm"
      "--no-config"
      "--no-lock"
      "--cached-only"
      "--no-code-cache"
    ];
    file = "executor.mjs";
    permissionFlags = {
      memory = "--v8-flags=--max-old-space-size={}";
      read = "--allow-read={}";
      write = "--allow-write={}";
      net = "--allow-net={}";
      env = "--allow-env={}";
      run = "--allow-run={}";
      ffi = "--allow-ffi={}";
      sys = "--allow-sys={}";
    };
  };
}
