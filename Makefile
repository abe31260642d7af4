# The only build file: programs, their object lists, their libraries.
#
#   make            build/at-rund  build/at-rund-scheduler  build/at-rund.fcgi
#   make unit | vectors | e2e | check | soak | bench | lint | fuzz | format | install | uninstall | clean
#   SAN=1           the same below build/san/ with AddressSanitizer and UBSan
#   DEV=1           warnings are errors

VERSION  = 0.1.0
PREFIX   = /usr/local
LIBDIR   = $(PREFIX)/lib/at-rund
DATADIR  = $(PREFIX)/share/at-rund
MANDIR   = $(PREFIX)/share/man

CC       = gcc
NANOPB   = nanopb_generator.py
WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
CFLAGS   = -O2 -g
ALL      = -std=c11 -D_GNU_SOURCE -I. -I$(B) $(WARN) -MMD -MP -pthread \
           -DAT_RUND_VERSION='"$(VERSION)"' -DAT_RUND_LIBDIR='"$(LIBDIR)"' -DAT_RUND_DATADIR='"$(DATADIR)"'
ifeq ($(SAN),1)
B        = build/san
HARDEN   = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDHARDEN = -fsanitize=address,undefined
else
B        = build
HARDEN   = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDHARDEN = -pie -Wl,-z,relro,-z,now
endif
ifeq ($(DEV),1)
WARN    += -Werror
endif

# ---- the rooms -------------------------------------------------------------------------------------------------

GROUND   = lib/err.o lib/mem.o lib/buf.o lib/utf8.o lib/clock.o lib/awake.o lib/log.o lib/frame.o lib/near.o \
           lib/conf.o lib/conf_read.o lib/conf_unit.o lib/json.o lib/syntax.o lib/job.o lib/bell.o lib/news.o lib/slip.o \
           lib/egress.o lib/callback.o lib/grant.o lib/cgroup.o lib/access.o lib/notify.o lib/zone.o lib/cron.o lib/trace.o lib/telemetry.o
LEDGER   = lib/store.o lib/store_vfs.o schema.o
FRONT    = lib/store_front.o lib/store_callback.o lib/store_list.o lib/store_key.o lib/store_token.o lib/store_secret.o lib/store_traffic.o lib/store_upload.o
WORK     = lib/store_work.o lib/store_callback.o lib/store_bundle.o lib/store_key.o lib/store_retry.o lib/store_schedule.o lib/store_token.o lib/store_secret.o lib/store_graph.o lib/store_usage.o lib/store_hoard.o lib/store_traffic.o lib/store_upload.o
WORLD    = lib/cid.o lib/netaddr.o lib/http.o lib/did.o lib/pds.o lib/bundle.o lib/bundle_tree.o lib/archive.o
PROOF    = lib/multibase.o lib/cbor.o lib/data.o lib/car.o lib/mst.o lib/key.o lib/jwt.o lib/failure.o lib/proof.o
SECRETS  = lib/secret.o lib/keyring.o lib/receipt.o lib/notice.o
BACKUP   = lib/strongbox.o lib/age.o lib/pack.o
OTLP     = lib/otlp.o lib/otlp.pb.o lib/post.o
OUTWARD  = lib/egress_dns.o lib/egress_relay.o
WALLS    = backends/backend.o backends/walls.o backends/none.o backends/sandbox.o backends/container.o backends/engine.o backends/image.o \
           backends/seccomp.o backends/parts.o backends/permit.o backends/runtime.o backends/nix.o lib/child.o

FETCHER  = $(patsubst %.c,%.o,$(wildcard scheduler/fetcher*.c))
FCGI     = $(patsubst %.c,%.o,$(wildcard fcgi/*.c))
SCHED    = $(patsubst %.c,%.o,$(wildcard scheduler/*.c))
CLI      = $(patsubst %.c,%.o,$(wildcard cli/*.c))
UNIT     = $(patsubst %.c,%.o,$(wildcard tests/unit/*.c)) tests/t.o tests/repo.o

SQL      = schema/schema.sql schema/views.sql $(wildcard schema/statements*.sql) $(wildcard schema/migrate/*.sql)

L_GROUND = -linih -lcjson
L_LEDGER = -lsqlite3
L_WALLS  = -lseccomp
L_WORLD  = -lcurl -larchive -lsodium -lresolv
L_OTLP   = -lprotobuf-nanopb
L_PROOF  = -lcrypto -lsecp256k1

O        = $(addprefix $(B)/,$(1))
LINK     = $(CC) $(LDHARDEN) $(LDFLAGS) -pthread -o $@ $(filter %.o,$^)

all: $(B)/at-rund $(B)/at-rund-scheduler $(B)/at-rund.fcgi $(B)/at-rund-gate $(B)/python.stamp backends/runtimes/deno/core.js

$(B)/at-rund.fcgi: $(call O,$(FCGI) page_css.o lib/store_desk.o lib/store_page.o lib/pass.o lib/failure.o $(GROUND) $(LEDGER) $(FRONT) lib/jwt.o lib/multibase.o lib/runner.o)
	$(LINK) $(L_GROUND) $(L_LEDGER) -lfcgi -lsodium -lm

$(B)/at-rund-scheduler: $(call O,$(SCHED) $(GROUND) $(LEDGER) $(WORK) $(WORLD) $(PROOF) $(WALLS) $(OUTWARD) $(SECRETS) $(OTLP))
	$(LINK) $(L_GROUND) $(L_LEDGER) $(L_WORLD) $(L_PROOF) $(L_WALLS) $(L_OTLP)

# First inside a wall, where no library is: static, and none of our rooms but what both ends of the way out share.
GATE     = $(patsubst %.c,%.o,$(wildcard backends/gate/*.c)) lib/egress.o lib/egress_dns.o lib/err.o
ifneq ($(SAN),1)
STATIC   = -static -Wl,-z,relro,-z,now
else
STATIC   = $(LDHARDEN)
endif

$(B)/at-rund-gate: $(call O,$(GATE))
	$(CC) $(STATIC) -o $@ $(filter %.o,$^)

$(B)/at-rund: $(call O,$(CLI) $(GROUND) $(LEDGER) lib/store_desk.o lib/store_page.o lib/pass.o lib/bundle.o lib/bundle_tree.o lib/cid.o lib/multibase.o $(SECRETS) $(BACKUP) lib/runner.o \
    lib/http.o lib/netaddr.o lib/did.o $(WALLS) $(OTLP))
	$(LINK) $(L_GROUND) $(L_LEDGER) -lsodium -larchive -lcurl -lresolv $(L_WALLS) $(L_OTLP)

# ---- tests -----------------------------------------------------------------------------------------------------

TESTED   = $(OUTWARD) $(OTLP) $(SECRETS) lib/runner.o $(BACKUP) $(GROUND) $(LEDGER) $(sort $(FRONT) $(WORK)) lib/store_desk.o lib/store_page.o lib/pass.o $(WORLD) $(PROOF) $(WALLS) \
           $(filter-out scheduler/main.o,$(SCHED)) $(filter-out fcgi/main.o,$(FCGI)) page_css.o

$(B)/tests/unit-tests: $(call O,$(UNIT) $(TESTED)) | $(B)/tests/open_next $(B)/at-rund-gate
	$(LINK) -lcmocka $(L_GROUND) $(L_LEDGER) $(L_WORLD) $(L_PROOF) $(L_WALLS) $(L_OTLP) -lfcgi -lm

# The ledger of a made-up next version, for the test of migrations.
$(B)/next/schema.c: schema/embed.sh tests/migrate/next.sh tests/migrate/colour.sql $(SQL)
	sh tests/migrate/next.sh $(@D)
	sh schema/embed.sh $(@D) $(@D)
$(B)/next/schema.o: $(B)/next/schema.c
	$(CC) $(ALL) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(B)/tests/open_next: $(call O,tests/migrate/open_next.o $(GROUND) lib/store.o lib/store_vfs.o next/schema.o)
	$(LINK) $(L_GROUND) $(L_LEDGER)

$(B)/tests/bare: $(call O,tests/bench/bare.o lib/err.o lib/mem.o lib/buf.o lib/utf8.o lib/frame.o)
	$(LINK) -lfcgi
$(B)/tests/flood: $(call O,tests/bench/flood.o lib/err.o lib/mem.o lib/buf.o lib/utf8.o lib/clock.o)
	$(LINK)
$(B)/tests/store_bench: $(call O,tests/bench/store_bench.o $(GROUND) $(LEDGER) $(sort $(FRONT) $(WORK)))
	$(LINK) $(L_GROUND) $(L_LEDGER)
$(B)/tests/enqueue: $(call O,tests/e2e/enqueue.o $(GROUND) $(LEDGER) $(FRONT))
	$(LINK) $(L_GROUND) $(L_LEDGER)
$(B)/tests/fetch_probe: $(call O,tests/e2e/fetch_probe.o $(FETCHER) $(GROUND) $(WORLD) $(PROOF) $(SECRETS))
	$(LINK) $(L_GROUND) $(L_WORLD) $(L_PROOF)

$(B)/tests/cron_probe: $(call O,tests/e2e/cron_probe.o lib/zone.o lib/cron.o lib/err.o lib/mem.o)
	$(LINK)

$(B)/tests/exits_probe: $(call O,tests/e2e/exits_probe.o scheduler/exits.o scheduler/loop.o scheduler/role.o scheduler/site.o scheduler/spawn.o lib/bundle.o lib/bundle_tree.o lib/cid.o \
    $(WALLS) $(GROUND))
	$(LINK) $(L_GROUND) $(L_WALLS) -lsodium

$(B)/tests/proof_make: $(call O,tests/e2e/proof_make.o tests/repo.o lib/cid.o $(GROUND) $(PROOF))
	$(LINK) $(L_GROUND) -lsodium $(L_PROOF)

$(B)/tests/proof_judge: $(call O,tests/e2e/proof_judge.o lib/cid.o $(GROUND) $(PROOF))
	$(LINK) $(L_GROUND) -lsodium $(L_PROOF)

$(B)/tests/trust_bench: $(call O,tests/bench/trust_bench.o tests/repo.o lib/cid.o $(GROUND) $(PROOF))
	$(LINK) $(L_GROUND) -lsodium $(L_PROOF)

unit: $(B)/tests/unit-tests
	$<
# The public test vectors beside the checkout (or AT_RUND_VECTORS): how many cases of each file were tried.
vectors: $(B)/tests/unit-tests
	@$< >$(B)/vectors.log 2>&1; sh tests/vectors.sh $(B)/vectors.log

# What the tests through the whole product need beside the programs; tests/run.sh is the list of suites.
e2e-programs: $(B)/tests/cron_probe $(B)/tests/exits_probe $(B)/tests/fetch_probe $(B)/tests/proof_make $(B)/tests/proof_judge
e2e:
	@B=$(B) MAKE="$(MAKE)" sh tests/run.sh e2e
# The doors of the walls, one line each:  make contract [WALL=none|sandbox|container] [WALL_USER=www-data]
contract: all
	@AT_RUND_BUILD=$(B) B=$(B) sh tests/contract/run.sh $(WALL)
check:
	@B=$(B) MAKE="$(MAKE)" sh tests/run.sh
# Endurance at full length; make check runs a twentieth of each.  Figures are printed.
soak:
	@AT_RUND_SOAK=1 B=$(B) MAKE="$(MAKE)" sh tests/run.sh soak
# make lint LINT=cppcheck: only checks of that name.  make itself has a LINT of its own, hence the line.
LINT     =
lint: $(B)/schema.h $(B)/lib/otlp.pb.h
	@B=$(B) sh tests/lint/run.sh $(LINT)

# Fuzz targets are built by clang, all of lib but the ledger with them:  make fuzz RUNS=100000
FUZZ_CC  = clang-14
FUZZED   = $(OUTWARD) $(SECRETS) lib/runner.o scheduler/keeper.o fcgi/whole.o $(filter-out lib/bell.o,$(GROUND)) $(WORLD) $(PROOF) tests/repo.o
FUZZ     = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined

build/fuzz/o/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(ALL) -Wno-format-nonliteral -O1 -g $(FUZZ_SAN) -fsanitize=fuzzer-no-link -c -o $@ $<
$(FUZZ): build/fuzz/%: build/fuzz/o/tests/fuzz/%.o $(addprefix build/fuzz/o/,$(FUZZED))
	$(FUZZ_CC) $(FUZZ_SAN) -fsanitize=fuzzer -pthread -o $@ $^ $(L_GROUND) $(L_WORLD) $(L_PROOF)
fuzz-programs: $(FUZZ)
fuzz: fuzz-programs
	@RUNS=$(RUNS) sh tests/fuzz/replay.sh

bench: all $(B)/tests/bare $(B)/tests/flood $(B)/tests/store_bench $(B)/tests/enqueue $(B)/tests/trust_bench
	tests/bench/bench.py --build $(B) $(BENCH)

# ---- how things are made ---------------------------------------------------------------------------------------

$(B)/schema.c $(B)/schema.h &: schema/embed.sh $(SQL)
	@mkdir -p $(B)
	sh schema/embed.sh $(B)
$(B)/schema.o: $(B)/schema.c
	$(CC) $(ALL) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(B)/lib/store.o $(call O,$(sort $(FRONT) $(WORK))) $(B)/lib/store_desk.o $(B)/lib/store_page.o \
$(B)/tests/unit/test_store.o: | $(B)/schema.h

# The pages' style sheet, as a string.
$(B)/page_css.c: fcgi/page.css
	@mkdir -p $(B)
	awk 'BEGIN { print "#include \"fcgi/page.h\"\n\nconst char page_css[] =" } { gsub(/^[ \t]+/, ""); gsub(/\/\*[^*]*\*\//, "") } \
	    $$0 != "" { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); print "\t\"" $$0 "\\n\"" } END { print "\t;" }' $< >$@
$(B)/page_css.o: $(B)/page_css.c
	$(CC) $(ALL) $(HARDEN) $(CFLAGS) -c -o $@ $<

# nanopb: numbers, and what reads answers.
$(B)/lib/otlp.pb.c $(B)/lib/otlp.pb.h &: lib/otlp.proto
	@mkdir -p $(B)/lib
	$(NANOPB) -q -I lib -D $(B)/lib lib/otlp.proto
$(B)/lib/otlp.pb.o: $(B)/lib/otlp.pb.c
	$(CC) $(ALL) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(B)/lib/otlp.o: | $(B)/lib/otlp.pb.h

# What knows where the rest is installed is compiled anew for another PREFIX.
PLACES = $(PREFIX) $(LIBDIR) $(DATADIR)
$(B)/places: FORCE
	@mkdir -p $(B)
	@echo '$(PLACES)' | cmp -s - $@ || echo '$(PLACES)' >$@
$(call O,cli/place.o backends/runtime.o backends/parts.o): $(B)/places
FORCE:

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL) $(HARDEN) $(CFLAGS) -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

MAN1 = cli/at-rund.1
MAN5 = cli/at-rund.conf.5 schema/at-rund.db.5
MAN7 = backends/at-rund-walls.7 scheduler/at-rund-jobs.7
MAN8 = backends/gate/at-rund-gate.8 scheduler/at-rund-scheduler.8 fcgi/at-rund.fcgi.8

# Below PREFIX/share, for bash, zsh and fish.
COMPLETIONS = bash-completion/completions/at-rund zsh/site-functions/_at-rund fish/vendor_completions.d/at-rund.fish

# An instance may not write beside its executor, so python would compile it anew at each start.
PYCOMPILE = python3 -m compileall -q -f --invalidation-mode checked-hash

$(B)/python.stamp: $(wildcard backends/runtimes/python/*.py)
	@mkdir -p $(B)
	-$(PYCOMPILE) backends/runtimes/python
	@touch $@

# Each module after those that it imports.
backends/runtimes/deno/core.js: backends/runtimes/js/join.awk $(addprefix backends/runtimes/js/,cookies.mjs report.mjs web.mjs core.mjs)
	LC_ALL=C awk -f $^ >$@.new
	mv $@.new $@

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR) $(DESTDIR)$(DATADIR)/runtimes
	install -d $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 \
	    $(DESTDIR)$(MANDIR)/man8
	install -m 755 $(B)/at-rund $(DESTDIR)$(PREFIX)/bin/at-rund
	install -m 755 $(B)/at-rund-scheduler $(B)/at-rund.fcgi $(B)/at-rund-gate $(DESTDIR)$(LIBDIR)
	cp -R backends/runtimes/. $(DESTDIR)$(DATADIR)/runtimes
	-$(PYCOMPILE) $(DESTDIR)$(DATADIR)/runtimes/python
	cp -R contrib/examples contrib/web contrib/systemd contrib/grafana $(DESTDIR)$(DATADIR)
	install -m 644 $(MAN1) $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(MAN5) $(DESTDIR)$(MANDIR)/man5
	install -m 644 $(MAN7) $(DESTDIR)$(MANDIR)/man7
	install -m 644 $(MAN8) $(DESTDIR)$(MANDIR)/man8
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,$(dir $(COMPLETIONS)))
	$(B)/at-rund completion bash >$(DESTDIR)$(PREFIX)/share/$(word 1,$(COMPLETIONS))
	$(B)/at-rund completion zsh >$(DESTDIR)$(PREFIX)/share/$(word 2,$(COMPLETIONS))
	$(B)/at-rund completion fish >$(DESTDIR)$(PREFIX)/share/$(word 3,$(COMPLETIONS))

# Programs and what came with them; config, homes, users and units (at-rund systemd uninstall) are the operator's.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/at-rund
	rm -rf $(DESTDIR)$(LIBDIR) $(DESTDIR)$(DATADIR)
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(MAN1))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(MAN5))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man7/,$(notdir $(MAN7))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(MAN8))) \
	    $(addprefix $(DESTDIR)$(PREFIX)/share/,$(COMPLETIONS))

clean:
	rm -rf build backends/runtimes/deno/core.js

.PHONY: FORCE all unit vectors contract bench e2e e2e-programs check soak lint fuzz fuzz-programs format install uninstall clean
