/*
 * A collector for the tests: OTLP over gRPC by @grpc/grpc-js, and over HTTP (protobuf, JSON).  What comes is read by the message
 * definitions that OpenTelemetry publishes in its own package, not by ours.
 *
 *     node otel_collector.mjs GRPC_PORT HTTP_PORT GRPC_TLS_PORT HTTPS_PORT     the latter with the PEM files AT_RUND_OTEL_CERT, _KEY
 *
 * GET /got on the HTTP port: everything so far, as JSON; POST /mode sets how it behaves: {"mode": "ok" | "busy" | "refuse" | "slow" |
 * "garbage" | "huge" | "partial" | "hang", "times": how often before it is ok again}.
 */
import { createRequire } from "node:module";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";

const modules = process.env.AT_RUND_OTEL_MODULES;
const require = createRequire(path.join(modules, "x.js"));
const grpc = require("@grpc/grpc-js");
const root = require(path.join(modules, "@opentelemetry/otlp-transformer/build/src/generated/root.js"));
const v1 = root.opentelemetry.proto.collector;
const SIGNALS = {
	traces: { request: v1.trace.v1.ExportTraceServiceRequest, response: v1.trace.v1.ExportTraceServiceResponse, rejected: "rejectedSpans",
		method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export" },
	metrics: { request: v1.metrics.v1.ExportMetricsServiceRequest, response: v1.metrics.v1.ExportMetricsServiceResponse,
		rejected: "rejectedDataPoints", method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" },
	logs: { request: v1.logs.v1.ExportLogsServiceRequest, response: v1.logs.v1.ExportLogsServiceResponse, rejected: "rejectedLogRecords",
		method: "/opentelemetry.proto.collector.logs.v1.LogsService/Export" },
};
const got = [];
let mode = { mode: "ok", times: 0 }, asked = 0;

/* How to behave this time. */
const now = () => {
	asked++;
	if (mode.mode !== "ok" && mode.times > 0 && mode.times-- === 1) {
		const last = mode.mode;
		mode = { mode: "ok", times: 0 };
		return last;
	}
	return mode.mode;
};

const hex = (bytes) => Buffer.from(bytes ?? []).toString("hex");

/* The same shape from both forms: ids in hex, numbers as text. */
const plain = (signal, bytes) => {
	const type = SIGNALS[signal].request;
	const message = type.toObject(type.decode(bytes), { longs: String, defaults: true, arrays: true });
	const walk = (v) => {
		if (Array.isArray(v))
			return v.map(walk);
		if (v === null || typeof v !== "object" || v instanceof Uint8Array)
			return v instanceof Uint8Array ? hex(v) : v;
		return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, walk(x)]));
	};
	return walk(message);
};

const keep = (how, signal, message, headers) => got.push({ how, signal, message, headers });

const partial = (signal) => SIGNALS[signal].response.encode(
	SIGNALS[signal].response.fromObject({ partialSuccess: { [SIGNALS[signal].rejected]: 1, errorMessage: "one is too old" } })).finish();

/* --- gRPC --- */

const server = new grpc.Server({ "grpc.max_receive_message_length": 64 << 20 });
for (const [signal, s] of Object.entries(SIGNALS)) {
	const service = { Export: { path: s.method, requestStream: false, responseStream: false, requestSerialize: (x) => x,
		requestDeserialize: (x) => x, responseSerialize: (x) => Buffer.from(x), responseDeserialize: (x) => x } };
	server.addService(service, { Export: (call, answer) => {
		const how = now();
		const ok = () => {
			keep("grpc", signal, plain(signal, call.request), call.metadata.getMap());
			answer(null, how === "partial" ? partial(signal) : new Uint8Array());
		};
		if (how === "busy")
			answer({ code: grpc.status.UNAVAILABLE, details: "come again" });
		else if (how === "refuse")
			answer({ code: grpc.status.INVALID_ARGUMENT, details: "not like this" });
		else if (how === "slow")
			setTimeout(ok, 1500);
		else if (how === "garbage") {
			keep("grpc", signal, plain(signal, call.request), {});
			answer(null, Buffer.from("\xff\xff\xff not a message"));
		} else if (how === "huge")
			answer(null, Buffer.alloc(3 << 20, 0x41));
		else if (how !== "hang")
			ok();
	} });
}

/* --- HTTP --- */

const body = async (request) => {
	const parts = [];
	for await (const p of request)
		parts.push(p);
	return Buffer.concat(parts);
};

const otlp = (signal, type, bytes, request, response) => {
	const how = now(), json = type === "application/json";
	const ok = () => {
		keep(json ? "json" : "protobuf", signal, json ? JSON.parse(bytes) : plain(signal, bytes), request.headers);
		response.writeHead(200, { "content-type": type });
		response.end(how !== "partial" ? (json ? "{}" : "") : json
			? JSON.stringify({ partialSuccess: { [SIGNALS[signal].rejected]: "1", errorMessage: "one is too old" } }) : partial(signal));
	};
	if (how === "busy")
		response.writeHead(503, { "retry-after": "1" }).end("come again");
	else if (how === "refuse")
		response.writeHead(400).end("not like this");
	else if (how === "slow")
		setTimeout(ok, 1500);
	else if (how === "garbage")
		request.socket.end("\x00\x01HTTP? no\r\n\r\n");
	else if (how === "huge")
		response.writeHead(200).end(Buffer.alloc(3 << 20, 0x41));
	else if (how !== "hang")
		ok();
};

const [grpcPort, httpPort, grpcTlsPort, httpsPort] = process.argv.slice(2).map(Number);
const cert = fs.readFileSync(process.env.AT_RUND_OTEL_CERT), key = fs.readFileSync(process.env.AT_RUND_OTEL_KEY);

const serve = async (request, response) => {
	const bytes = await body(request);
	const signal = request.url.replace(/^\/v1\//, "");
	if (request.url === "/got") {
		response.end(JSON.stringify({ got, asked }));
	} else if (request.url === "/forget") {
		got.length = asked = 0;
		response.end();
	} else if (request.url === "/mode") {
		mode = JSON.parse(bytes);
		response.end();
	} else if (request.method === "POST" && SIGNALS[signal]) {
		otlp(signal, request.headers["content-type"], bytes, request, response);
	} else {
		response.writeHead(404).end();
	}
};
http.createServer(serve).listen(httpPort, "127.0.0.1");
https.createServer({ cert, key }, serve).listen(httpsPort, "127.0.0.1");

const bind = (port, credentials) => new Promise((resolve, reject) =>
	server.bindAsync("127.0.0.1:" + port, credentials, (e) => e ? reject(e) : resolve()));
await bind(grpcPort, grpc.ServerCredentials.createInsecure());
await bind(grpcTlsPort, grpc.ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]));
console.log("ready");
