# A fake: no nixpkgs, but the shape of one, whose packages are this machine's own files under the names that nixpkgs has.
{ ... }:
let
  make = name: args: script: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-euc" script ];
    PATH = "/usr/bin:/bin";
  } // args);

  # The loader and the libraries, which python3 names: part of its closure without being asked for.
  glibc = make "glibc-of-the-test" { } ''
    mkdir -p $out/lib
    loader=$(ldd /usr/bin/python3 | sed -n 's|^\t\(/lib64/ld[^ ]*\) .*|\1|p')
    cp -L "$loader" $out/lib/ld.so
    ldd /usr/bin/python3 /usr/lib/python3.*/lib-dynload/*.so | sed -n 's|.*=> \(/[^ ]*\) .*|\1|p' | sort -u |
      while read -r lib; do cp -L "$lib" $out/lib/; done
  '';

  python3 = make "python3-of-the-test" { launcher = ./launcher; inherit glibc; } ''
    version=$(basename "$(readlink -f /usr/bin/python3)")
    mkdir -p $out/bin $out/libexec $out/lib
    cp $launcher $out/bin/python3
    cp -L /usr/bin/python3 $out/libexec/python3
    printf %s $glibc/lib >$out/glibc
    cp -R -P /usr/lib/$version $out/lib/
    chmod -R u+w $out/lib
    rm -rf $out/lib/$version/test $out/lib/$version/config-*
    find $out/lib -name __pycache__ -prune -exec rm -rf {} +
  '';

  certs = make "certs-of-the-test" { } ''
    mkdir -p $out/etc/ssl/certs
    echo 'no certificate' >$out/etc/ssl/certs/ca-bundle.crt
  '';
in
{
  python3 = python3 // { withPackages = choose: builtins.seq (builtins.length (choose { })) python3; };
  nested.certs = certs;
}
