#!/usr/bin/env python3
"""OpenTelemetry: what arrives at a real collector over gRPC and HTTP, what a bad one costs (nothing), and Prometheus."""
import os
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

MODULES = os.path.join(DEPS, 'otel', 'node_modules')
TRACE, SPAN = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'
PARENT = '00-%s-%s-01' % (TRACE, SPAN)
OUTCOMES = ('ok', 'error', 'timeout', 'memory', 'output', 'killed', 'refused', 'lost', 'expired', 'cancelled')
HANDLER = '''
export async function see(request, env, ctx) {
  console.log("seen", ctx.job);
  console.error("and heard");
  return { header: request.headers.get("traceparent"), state: request.headers.get("tracestate"), ctx: ctx.traceparent };
}
export function fail() { throw new Error("on purpose"); }
export async function again(request, env, ctx) { throw new Error("each time"); }
'''
PYTHON = '''
def see(request, ctx):
    return {"header": request.headers.get("traceparent"), "ctx": ctx.traceparent}
'''

t = Cases()
where = scratch()
collector = runner = None
grpc_port, http_port, grpc_tls_port, https_port = (free_port() for _ in range(4))
cert = os.path.join(where, 'cert.pem')
pds = None
http_url = 'http://127.0.0.1:%d' % http_port


class Got:
    """What the collector has: messages of one signal as flat lists."""

    def __init__(self):
        self.all = call(http_url + '/got').json
        self.asked = self.all['asked']

    def messages(self, signal, how=None):
        return [g for g in self.all['got'] if g['signal'] == signal and how in (None, g['how'])]

    def resources(self):
        names = {'traces': 'resourceSpans', 'metrics': 'resourceMetrics', 'logs': 'resourceLogs'}
        return [attributes(r['resource']['attributes']) for g in self.all['got'] for r in g['message'][names[g['signal']]]]

    def spans(self, how=None):
        return [Span(s) for g in self.messages('traces', how) for r in g['message']['resourceSpans'] for c in r['scopeSpans']
                for s in c['spans']]

    def lines(self):
        return [x for g in self.messages('logs') for r in g['message']['resourceLogs'] for c in r['scopeLogs'] for x in c['logRecords']]

    def metrics(self):
        """The last reading: name → metric."""
        last = self.messages('metrics')[-1]['message']['resourceMetrics'][0]['scopeMetrics'][0]['metrics']
        return {m['name']: m for m in last}


def attributes(pairs):
    out = {}
    for p in pairs:
        v = p['value']
        out[p['key']] = v.get('stringValue') if 'stringValue' in v else int(v['intValue']) if 'intValue' in v else \
            v.get('boolValue', v.get('doubleValue'))
    return out


class Span:
    def __init__(self, s):
        self.trace, self.id, self.parent = s['traceId'], s['spanId'], s.get('parentSpanId') or ''
        self.name, self.kind, self.attrs = s['name'], s['kind'], attributes(s.get('attributes', []))
        self.start, self.end = int(s['startTimeUnixNano']), int(s['endTimeUnixNano'])
        self.links = [(x['traceId'], x['spanId']) for x in s.get('links', [])]
        self.status, self.message = (s.get('status') or {}).get('code', 0), (s.get('status') or {}).get('message', '')
        self.kind = {'SPAN_KIND_INTERNAL': 1, 'SPAN_KIND_SERVER': 2, 'SPAN_KIND_CONSUMER': 5}.get(self.kind, self.kind)

    def __repr__(self):
        return '%s %s<%s' % (self.name, self.id, self.parent)


def mode(name, times=0):
    same(post_json(http_url + '/mode', {'mode': name, 'times': times}).status, 200)


def forget():
    call(http_url + '/forget')


def trace_of(answer):
    header = answer.header('traceparent')
    check(header and re.fullmatch('00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]', header), 'traceparent', answer)
    return header.split('-')[1], header.split('-')[2]


def url(endpoint, name='web'):
    return '%s/bundle/local/%s/latest/%s' % (runner.url, name, endpoint)


def deploy(top, name, file, text, runtime, endpoints):
    os.makedirs(os.path.join(top, name))
    with open(os.path.join(top, name, file), 'w') as f:
        f.write(text)
    with open(os.path.join(top, name, 'bundle.json'), 'w') as f:
        json.dump({'$type': COLLECTION, 'name': name, 'runtime': runtime, 'entry': file, 'endpoints': endpoints,
                   'createdAt': '2026-01-01T00:00:00Z'}, f)


def restart(config=None, **env):
    """Another runner of the same home; env: what stands beside its own."""
    runner.stop()
    runner.conf['observability'] = {'log_format': 'json', 'level': 'debug', **(config or {})}
    runner.write()
    runner.env = {k: v for k, v in runner.env.items() if not k.startswith('OTEL_')}
    runner.env.update({'OTEL_BSP_SCHEDULE_DELAY': '100', 'OTEL_BLRP_SCHEDULE_DELAY': '100', 'OTEL_METRIC_EXPORT_INTERVAL': '300'}, **env)
    forget()
    runner.start()


def begin_pds():
    """Comes up while other things are tested."""
    global pds
    try:
        pds = Pds(where)
    except Exception as e:
        pds = e


def setup():
    global collector, runner
    node = shutil.which('node', path='/usr/bin:/usr/local/bin:/bin') or shutil.which('node')
    if not node or not os.path.isdir(os.path.join(MODULES, '@grpc', 'grpc-js')):
        skip('no @grpc/grpc-js here: run sh contrib/check.sh once')
    made = subprocess.run([program('openssl'), 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days',
                           '30', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout',
                           cert + '.key', '-out', cert], capture_output=True)
    same(made.returncode, 0, made.stderr)
    threading.Thread(target=begin_pds, daemon=True).start()
    collector = Process([node, os.path.join(ROOT, 'tests', 'e2e', 'otel_collector.mjs'), str(grpc_port), str(http_port),
                         str(grpc_tls_port), str(https_port)],
                        os.path.join(where, 'collector.log'), env=clean_env(AT_RUND_OTEL_MODULES=MODULES, AT_RUND_OTEL_CERT=cert,
                                                                            AT_RUND_OTEL_KEY=cert + '.key'))
    collector.ready(lambda: 'ready' in collector.tail() and call(http_url + '/got').status == 200, 'the collector', 30)
    top = os.path.join(where, 'bundles')
    deploy(top, 'web', 'main.mjs', HANDLER, 'application/javascript+node',
           {'see': {}, 'fail': {}, 'again': {'idempotent': True, 'attempts': 2}})
    deploy(top, 'py', 'main.py', PYTHON, 'application/python', {'see': {}})
    runner = Runner(where, bundles=top, sections={'web': {'metrics': 'loopback'}, 'jobs': {'backoff': '100ms'}, 'pool': {'max': '6'}})
    runner.init()
    restart({'otlp_endpoint': '"http://127.0.0.1:%d"' % grpc_port, 'otlp_protocol': 'grpc'})


def whole_trace(trace):
    """All spans of a trace whose top has arrived."""
    def ready():
        spans = [s for s in Got().spans() if s.trace == trace]
        return spans if any(s.kind == 2 for s in spans) and any(s.name.startswith('web/') and s.kind == 1 for s in spans) else None
    return until(ready, 'the trace %s' % trace)


def nests():
    """One call: its spans nest, their ids are those of the answer's header and of the handler's."""
    a = call(url('see'), headers=[('traceparent', PARENT), ('tracestate', 'vendor=1')])
    same(a.status, 200, a)
    trace, root = trace_of(a)
    same(trace, TRACE)
    spans = whole_trace(trace)
    by_name = {s.name: s for s in spans if s.kind == 1}
    top = [s for s in spans if s.kind == 2]
    same(len(top), 1, spans)
    top = top[0]
    same((top.id, top.parent, top.name), (root, SPAN, 'web/see'))
    same(sorted(by_name), ['admission', 'answer', 'start', 'web/see'], spans)
    for s in by_name.values():
        same(s.parent, top.id, s)
        check(top.start <= s.start <= s.end <= top.end, s, s.start - top.start, s.end - top.end)
    order = [by_name[n] for n in ('admission', 'start', 'web/see', 'answer')]
    check(all(x.end <= y.start + 1000000 for x, y in zip(order, order[1:])), 'one after the other')
    same(len({s.id for s in spans}), len(spans), 'ids')
    handler = a.json
    same(handler['header'], '00-%s-%s-01' % (trace, by_name['web/see'].id))
    same((handler['ctx'], handler['state']), (handler['header'], 'vendor=1'))
    want = {'faas.name': 'web/see', 'faas.trigger': 'http', 'faas.coldstart': True, 'faas.invocation_id': a.header('at-run-job'),
            'faas.version': 'latest', 'http.request.method': 'GET', 'http.response.status_code': 200, 'at_rund.author': 'local',
            'at_rund.bundle': 'web', 'at_rund.endpoint': 'see', 'at_rund.outcome': 'ok', 'at_rund.start': 'cold',
            'at_rund.cid': a.header('at-run-bundle')}
    same({k: top.attrs.get(k) for k in want}, want)
    same(runner.sql('select trace from v_jobs where id = ?', a.header('at-run-job')), [(trace,)])
    check('"trace":"%s"' % trace in runner.tail(100000), 'the log names the trace')


def warm():
    """A warm call has no start; one without traceparent begins a trace of its own."""
    a = call(url('see'))
    trace, root = trace_of(a)
    spans = whole_trace(trace)
    same(sorted(s.name for s in spans), ['admission', 'answer', 'web/see', 'web/see'])
    top = next(s for s in spans if s.kind == 2)
    same((top.parent, top.attrs['faas.coldstart'], top.attrs['at_rund.start']), ('', False, 'warm'))
    bad = call(url('see'), headers=[('traceparent', PARENT.upper()), ('tracestate', 'vendor=1')])
    check(trace_of(bad)[0] not in (trace, TRACE), bad)
    same(bad.json['state'], None)
    p = call(url('see', 'py'), headers=[('traceparent', PARENT)])
    same((p.status, p.json['ctx'], p.json['header'].split('-')[1]), (200, p.json['header'], TRACE), p)


def unsampled():
    """A caller who does not record is not recorded, and the handler hears of it."""
    quiet = '0af7651916cd43dd8448eb211c80319c'
    a = call(url('see'), headers=[('traceparent', '00-%s-%s-00' % (quiet, SPAN))])
    same(a.json['header'].rsplit('-', 1)[1], '00')
    b = call(url('see'))
    whole_trace(trace_of(b)[0])
    same([s for s in Got().spans() if s.trace == quiet], [])


def failures():
    a = call(url('fail'))
    check(a.status >= 500, a)
    spans = whole_trace(trace_of(a)[0])
    top = next(s for s in spans if s.kind == 2)
    run = next(s for s in spans if s.kind == 1 and s.name == 'web/fail')
    same((top.status, run.status, top.attrs['error.type'], top.attrs['at_rund.outcome']), (2, 2, 'Error', 'error'))
    check('on purpose' in top.message, top.message)
    a = call(url('nothing'))
    same(a.status, 404, a)
    top = until(lambda: [s for s in Got().spans() if s.id == trace_of(a)[1]], 'the refusal')[0]
    same((top.status, top.attrs['error.type'], top.attrs['at_rund.outcome']), (0, 'EndpointNotFound', 'refused'))


def attempts():
    """Of an accepted job the request ends with the 202; each attempt is a span, linked to the one before."""
    a = call(url('again'), method='POST', headers=[('Prefer', 'respond-async')])
    same(a.status, 202, a)
    trace, root = trace_of(a)
    until(lambda: runner.sql("select 1 from v_jobs where id = ? and state = 'done'", a.header('at-run-job')), 'its end')
    spans = until(lambda: (lambda x: x if any(s.kind == 5 for s in x) else None)([s for s in Got().spans() if s.trace == trace]), 'the job')
    request, job = next(s for s in spans if s.kind == 2), next(s for s in spans if s.kind == 5)
    runs = sorted((s for s in spans if s.kind == 1 and s.name == 'web/again'), key=lambda s: s.start)
    same((request.id, request.attrs['http.response.status_code'], job.parent, job.status), (root, 202, root, 2))
    same([r.parent for r in runs], [job.id, job.id])
    same([r.links for r in runs], [[], [(trace, runs[0].id)]])
    same(runs[1].attrs['at_rund.attempt'], 2)


def lines():
    """The handler's lines and the daemon's, with the ids of the trace they belong to."""
    a = call(url('see'))
    trace, job = trace_of(a)[0], a.header('at-run-job')
    spans = whole_trace(trace)
    run = next(s for s in spans if s.kind == 1 and s.name == 'web/see')

    def ready():
        got = [x for x in Got().lines() if x['traceId'] == trace]
        return got if len([x for x in got if 'log.iostream' in attributes(x['attributes'])]) == 2 and \
            any(x['body']['stringValue'] == 'job done' for x in got) else None
    got = until(ready, 'the lines')
    own = [x for x in got if 'log.iostream' in attributes(x['attributes'])]
    same(sorted(x['body']['stringValue'] for x in own), ['and heard', 'seen ' + job])
    for x in own:
        at = attributes(x['attributes'])
        same((at['at_rund.author'], at['at_rund.bundle'], at['faas.invocation_id']), ('local', 'web', job))
        same((x['spanId'], x['flags']), (run.id, 1))
    same({x['severityText'] for x in own}, {'INFO', 'ERROR'})
    done = next(x for x in got if x['body']['stringValue'] == 'job done')
    same(attributes(done['attributes'])['faas.invocation_id'], job)


def point(metric, **labels):
    kind = next(k for k in ('sum', 'gauge', 'histogram') if metric.get(k))
    return next(p for p in metric[kind]['dataPoints'] if attributes(p['attributes']) == labels)


def value(metric, **labels):
    p = point(metric, **labels)
    return int(p['asInt']) if p.get('asInt') is not None else p['asDouble']


def meters():
    """What is counted agrees with the calls that were made, over OTLP and at /metrics."""
    n = runner.sql("select count(*) from v_jobs where outcome = 'ok'")[0][0]
    for _ in range(7):
        same(call(url('see')).status, 200)
    m = until(lambda: (lambda x: x if value(x['at_rund.jobs'], **{'at_rund.outcome': 'ok'}) == n + 7 else None)(Got().metrics()), 'the count')
    same(value(m['faas.invocations']), n + 7)
    ended = runner.sql("select count(*) from v_jobs where state = 'done'")[0][0]
    h = point(m['at_rund.job.duration'])
    same((int(h['count']), sum(map(int, h['bucketCounts'])), len(h['bucketCounts'])), (ended, ended, len(h['explicitBounds']) + 1))
    check(h['sum'] > 0 and m['at_rund.job.duration']['unit'] == 's', h)
    runs = sum(int(p['count']) for p in m['faas.invoke_duration']['histogram']['dataPoints'])
    starts = runner.sql('select sum(starts) from v_jobs')[0][0]
    same(runs, starts, 'runs: one job was started twice, one never')
    asked = runner.sql('select count(*) from v_jobs')[0][0]
    door = until(lambda: (lambda x: x if x >= asked else None)(sum(int(p['asInt']) for p in Got().metrics()['at_rund.http.requests']['sum']
                                                                  ['dataPoints'])), 'what the door has answered')
    for _ in range(3):
        same(call(runner.url + '/nothing/here').status, 404)
    m = until(lambda: (lambda x: x if int(point(x['http.server.request.duration'])['count']) >= door + 3 else None)(Got().metrics()),
              'those who never became jobs')
    check(value(m['at_rund.http.requests'], **{'at_rund.status': '4xx'}) >= 3, m['at_rund.http.requests'])
    check(value(m['process.memory.usage']) > 1 << 20 and value(m['process.cpu.time']) > 0, 'the process')
    check(value(m['at_rund.database.size'], **{'at_rund.file': 'main'}) > 4096, 'the database')
    same(value(m['at_rund.pool.instances'], **{'at_rund.state': 'warm'}), 2)

    def shown():
        text = call(runner.url + '/metrics').text
        found = {k: float(v) for k, v in (x.rsplit(' ', 1) for x in text.splitlines() if x[0] != '#')}
        return found if found.get('at_rund_jobs_total{outcome="ok"}') == n + 7 else None
    found = until(shown, '/metrics')
    same((found['at_rund_job_seconds_count'], found['at_rund_run_seconds_count{start="warm"}'] +
          found['at_rund_run_seconds_count{start="cold"}']), (ended, starts))
    check(found['at_rund_telemetry_sent_total{signal="traces"}'] > 0, found)
    same(sum(found['at_rund_telemetry_dropped_total{signal="%s"}' % s] for s in ('traces', 'metrics', 'logs')), 0)


def resources():
    for r in Got().resources():
        same((r['service.name'], r['at_rund.runner'], bool(r['service.instance.id']), bool(r['service.version'])),
             ('at-rund', 'did:plc:' + 'a' * 24, True, True))
    for g in Got().all['got']:
        same(g['how'], 'grpc')


def telemetry():
    return until(lambda: json.loads(runner.cli('status', '--json').stdout)['telemetry'], 'the first heartbeat')


def busy():
    """UNAVAILABLE: the same comes again, and nothing is lost or told twice."""
    sent = telemetry()['traces']['sent']
    mode('busy', 2)
    a = call(url('see'))
    spans = whole_trace(trace_of(a)[0])
    same(len({s.id for s in spans}), len(spans), 'each span once')
    until(lambda: telemetry()['traces']['sent'] >= sent + 4, 'it is counted')
    same(telemetry()['traces']['failed'], 0)


def refused():
    """What a collector does not want is given up at once, and counted."""
    mode('refuse', 1)
    call(url('see'))
    until(lambda: sum(telemetry()[s]['failed'] for s in ('traces', 'metrics', 'logs')) >= 1, 'it is counted')
    mode('partial', 1)
    before = sum(telemetry()[s]['failed'] for s in ('traces', 'metrics', 'logs'))
    call(url('see'))
    until(lambda: sum(telemetry()[s]['failed'] for s in ('traces', 'metrics', 'logs')) == before + 1, 'the part is counted')
    check('one is too old' in runner.tail(100000), 'the log says why')


def strange():
    """Garbage and endless answers end with the request."""
    for name in ('garbage', 'huge'):
        mode(name, 2)
        asked = Got().asked
        call(url('see'))
        until(lambda: Got().asked >= asked + 2, name)
        mode('ok')
        whole_trace(trace_of(call(url('see')))[0])


def protocols():
    """HTTP with protobuf and with JSON say the same; the variables go over the config."""
    for protocol, how, to in (('http/protobuf', 'protobuf', http_url), ('http/json', 'json', 'https://localhost:%d' % https_port)):
        restart({'otlp_endpoint': 'http://127.0.0.1:1'}, OTEL_EXPORTER_OTLP_ENDPOINT=to, OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
                OTEL_EXPORTER_OTLP_CERTIFICATE=cert,
                OTEL_EXPORTER_OTLP_HEADERS='x-key=a%20b', OTEL_SERVICE_NAME='mine',
                OTEL_RESOURCE_ATTRIBUTES='service.name=not-this,deployment.environment.name=test')
        a = call(url('see'), headers=[('traceparent', PARENT)])
        spans = whole_trace(TRACE)
        same(sorted(s.name for s in spans), ['admission', 'answer', 'start', 'web/see', 'web/see'])
        same(next(s for s in spans if s.kind == 2).id, trace_of(a)[1])
        until(lambda: {'traces', 'metrics', 'logs'} == {g['signal'] for g in Got().all['got']}, 'all signals')
        got = Got()
        same({g['how'] for g in got.all['got']}, {how})
        same({g['headers']['x-key'] for g in got.all['got']}, {'a b'})
        for r in got.resources():
            same((r['service.name'], r['deployment.environment.name']), ('mine', 'test'))
        same(value(got.metrics()['at_rund.jobs'], **{'at_rund.outcome': 'timeout'}), 0)
        mode('busy', 1)
        whole_trace(trace_of(call(url('see')))[0])


def sampled():
    """The sampler and single signals can be turned off."""
    restart({'otlp_endpoint': http_url}, OTEL_TRACES_SAMPLER='always_off', OTEL_LOGS_EXPORTER='none')
    a = call(url('see'))
    same(a.header('traceparent').rsplit('-', 1)[1], '00')
    until(lambda: Got().messages('metrics'), 'readings')
    same((Got().messages('traces'), Got().messages('logs')), ([], []))
    restart({'otlp_endpoint': http_url}, OTEL_SDK_DISABLED='true')
    a = call(url('see'), headers=[('traceparent', PARENT)])
    same((a.header('traceparent'), a.json['header']), (None, PARENT))
    same(runner.sql('select trace from v_jobs where id = ?', a.header('at-run-job')), [(TRACE,)])
    same(Got().all['got'], [])
    same([p for p in processes_of(runner.home) if 'telemetry' in p[1]], [])


def bounded():
    """A collector that never answers: calls are answered as ever, the queue stays bounded, what does not fit is counted."""
    mode('hang')
    restart({'otlp_endpoint': http_url}, OTEL_BSP_MAX_QUEUE_SIZE='40', OTEL_BSP_MAX_EXPORT_BATCH_SIZE='10')
    for _ in range(60):
        same(call(url('see')).status, 200)
    found = until(lambda: (lambda x: x if x['traces']['dropped'] >= 200 else None)(telemetry()), 'drops')
    check(found['traces']['queued'] <= 40 and found['traces']['sent'] == 0, found)
    text = call(runner.url + '/metrics').text
    check(re.search(r'^at_rund_telemetry_dropped_total\{signal="traces"\} [1-9]', text, re.M), text)
    check('dropped' in runner.cli('status').stdout, 'status says so')
    mode('ok')


def down():
    """Nobody listens: nothing fails but the telemetry, and the end of the runner waits for nobody."""
    restart({'otlp_endpoint': 'http://127.0.0.1:%d' % free_port()})
    for _ in range(5):
        same(call(url('see')).status, 200)
    until(lambda: telemetry()['failing'], 'status says that it fails')
    d = runner.cli('doctor', '--json')
    same({x['verdict'] for x in json.loads(d.stdout)['checks'] if x['what'] == 'collector'}, {'warning'})
    same(runner.stop(), 0)


def doctor():
    """Over gRPC with TLS: doctor asks, and what it says is so."""
    secure = {'otlp_endpoint': '"https://localhost:%d"' % grpc_tls_port, 'otlp_protocol': 'grpc'}
    restart(secure)
    until(lambda: telemetry()['failing'], 'whom nobody vouches for is not believed')
    restart(secure, OTEL_EXPORTER_OTLP_CERTIFICATE=cert)
    whole_trace(trace_of(call(url('see')))[0])
    d = json.loads(runner.cli('doctor', '--json').stdout)
    found = [x for x in d['checks'] if x['what'] == 'collector']
    same([x['verdict'] for x in found], ['ok'] * 3, found)
    check(any('takes traces over grpc' in x['text'] for x in found), found)


def killed():
    """The role is one process; when it dies another takes its place."""
    pid = next(p for p, cmd in processes_of(runner.home) if '--role telemetry' in cmd)
    os.kill(pid, signal.SIGKILL)
    until(lambda: any('--role telemetry' in cmd and p != pid for p, cmd in processes_of(runner.home)), 'another')
    forget()
    whole_trace(trace_of(call(url('see')))[0])


def fetched():
    """A bundle that has to be fetched shows as a span; what comes by itself is a trace of its own."""
    until(lambda: pds, 'the PDS', 90)
    if isinstance(pds, Exception):
        raise pds
    alice = pds.account('alice.test')
    alice.deploy('web', HANDLER.encode(), 'text/plain', runtime='application/javascript+node', entry='main.mjs',
                 endpoints={'see': {'schedule': '0 0 1 1 *'}})
    runner.conf['access'] = {'mode': 'open'}
    runner.conf['atproto'] = {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]}
    restart({'otlp_endpoint': http_url})
    a = call('%s/bundle/alice.test/web/latest/see' % runner.url, timeout=30)
    same(a.status, 200, a)
    spans = whole_trace(trace_of(a)[0])
    top, admission = next(s for s in spans if s.kind == 2), next(s for s in spans if s.name == 'admission')
    fetches = [s for s in spans if s.name == 'fetch']
    same([(s.parent, s.status) for s in fetches], [(admission.id, 0)] * len(fetches))
    check('bundle' in [s.attrs['at_rund.what'] for s in fetches], fetches)
    for s in fetches:
        check(admission.start <= s.start <= s.end <= admission.end, s)
    same((top.attrs['at_rund.author'], top.attrs['at_rund.start']), (alice.did, 'cold'))
    same(runner.cli('enroll', alice.did).returncode, 0)
    number = until(lambda: runner.sql('select schedule from v_schedules'), 'the schedule', 30)[0][0]
    same(runner.cli('schedule', 'run', str(number)).returncode, 0)
    row, trace = until(lambda: runner.sql("select row, trace from v_jobs where asked_from = 'schedule' and state = 'done'"), 'it ran')[0]
    job = until(lambda: [s for s in Got().spans() if s.trace == trace and s.kind == 5], 'its trace')[0]
    same((job.parent, job.attrs['faas.trigger'], job.attrs['at_rund.outcome']), ('', 'timer', 'ok'))
    m = until(lambda: (lambda x: x if point(x['at_rund.fetch.duration'], **{'at_rund.result': 'ok'})['count'] != '0' else None)(Got().metrics()),
              'the meter')
    check('faas.init_duration' in m, m)


def prometheus():
    """Debian's Prometheus scrapes, knows the rules, and every metric of dashboard and rules is there."""
    top = os.path.join(where, 'prometheus')
    os.mkdir(top)
    rules = os.path.join(ROOT, 'contrib', 'grafana', 'alerts.yml')
    with open(os.path.join(top, 'p.yml'), 'w') as f:
        f.write('global: { evaluation_interval: 1s }\nrule_files: ["%s"]\nscrape_configs:\n- job_name: at-rund\n  scrape_interval: 1s\n  scrape_timeout: 1s\n'
                '  static_configs:\n  - targets: ["127.0.0.1:%d"]\n' % (rules, runner.port))
    r = subprocess.run([program('promtool'), 'check', 'rules', rules], capture_output=True, text=True)
    same(r.returncode, 0, r.stdout + r.stderr)
    listen = free_port()
    p = Process([program('prometheus'), '--config.file=' + os.path.join(top, 'p.yml'), '--storage.tsdb.path=' + top,
                 '--web.listen-address=127.0.0.1:%d' % listen], os.path.join(top, 'log'), env=clean_env(HOME=top), cwd=top)

    def ask(query):
        a = call('http://127.0.0.1:%d/api/v1/query?query=%s' % (listen, urllib.parse.quote(query)))
        check(a.status == 200, query, a)
        return [float(x['value'][1]) for x in a.json['data']['result']]
    try:
        def counted():
            return float(re.search(r'^at_rund_jobs_total\{outcome="ok"\} (\d+)', call(runner.url + '/metrics').text, re.M).group(1))
        p.ready(lambda: ask('at_rund_jobs_total{outcome="ok"}') == [counted()] and counted() > 0, 'Prometheus has scraped', 40)
        same(ask('sum(at_rund_run_seconds_count)'), ask('sum(at_rund_job_starts_total{start!="none"})'))
        check(0 < ask('histogram_quantile(0.9, at_rund_job_seconds_bucket)')[0] < 60, 'a quantile')
        text = call(runner.url + '/metrics').text
        known = set(re.findall(r'^# TYPE (\S+)', text, re.M))
        known |= {x + s for x in known for s in ('_bucket', '_sum', '_count')}
        board = json.load(open(os.path.join(ROOT, 'contrib', 'grafana', 'at-rund.json')))
        queries = [q['expr'] for panel in board['panels'] for q in panel.get('targets', [])]
        check(len(queries) >= 12, 'a dashboard')
        for expr in queries:
            ask(expr.replace('$__rate_interval', '1m'))
        named = set(re.findall(r'\bat_rund_\w+', open(rules).read() + ' '.join(queries)))
        same(sorted(named - known), [], 'metrics that nobody has')
        alerts = call('http://127.0.0.1:%d/api/v1/rules' % listen).json['data']['groups']
        check(len(alerts[0]['rules']) >= 6, alerts)
        until(lambda: all(x['health'] == 'ok' for g in call('http://127.0.0.1:%d/api/v1/rules' % listen).json['data']['groups']
                          for x in g['rules']) or None, 'every rule can be computed', 90)
    finally:
        p.stop()


try:
    setup()
except Skipped as e:
    print('skip all: %s' % e)
    t.skipped += 1
    t.end()
t.run('spans nest, ids agree', nests)
t.run('a warm call', warm)
t.run('a caller who does not record', unsampled)
t.run('a handler that fails', failures)
t.run('attempts', attempts)
t.run('log lines', lines)
t.run('metrics agree with calls', meters)
t.run('resource', resources)
t.run('a busy collector', busy)
t.run('a collector that refuses', refused)
t.run('strange answers', strange)
t.run('doctor', doctor)
t.run('the role dies', killed)
t.run('Prometheus, dashboard, alerts', prometheus)
t.run('HTTP, protobuf and JSON', protocols)
t.run('turned off', sampled)
t.run('fetched, and by itself', fetched)
t.run('a collector that hangs', bounded)
t.run('a collector that is down', down)
t.end()
