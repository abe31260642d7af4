// Debian's chromium, headless, led by playwright-core: one JSON request a line, one JSON answer a line.
//
//   {op: "open", scheme: "dark", width: 320, height: 640, script: false}   a fresh browser context with one page; its number
//   {op: "look", page, scheme, width, height}
//   {op: "go", page, url} {op: "fill", page, at, value} {op: "press", page, at} {op: "check", page, at}
//   {op: "facts", page}     {url, status, title, text, overflow, scripts, complaints}: what the console complains of, the CSP too
//   {op: "axe", page}       what axe-core finds wrong
//   {op: "shot", page, path}
//   {op: "close", page}
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import fs from 'node:fs';

const from = createRequire(process.env.AT_RUND_BROWSER_MODULES + '/');
const { chromium } = from('playwright-core');
const axe = fs.readFileSync(from.resolve('axe-core/axe.min.js'), 'utf8');
const browser = await chromium.launch({
  executablePath: process.env.AT_RUND_CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
});
const pages = [];

const ops = {
  async open({ scheme = 'light', width = 1280, height = 900, script = true }) {
    const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height }, javaScriptEnabled: script });
    const page = await context.newPage();
    page.setDefaultTimeout(20000);
    const at = { page, context, complaints: [], status: 0 };
    page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') at.complaints.push(m.text()); });
    page.on('pageerror', (e) => at.complaints.push(String(e)));
    page.on('dialog', (d) => { at.complaints.push('dialog: ' + d.message()); d.dismiss(); });
    page.on('response', (r) => { if (r.request().isNavigationRequest()) at.status = r.status(); });
    pages.push(at);
    return { page: pages.length - 1 };
  },
  async look({ at, scheme, width, height }) {
    await at.page.emulateMedia({ colorScheme: scheme });
    await at.page.setViewportSize({ width, height });
    return {};
  },
  async go({ at, url }) { await at.page.goto(url, { waitUntil: 'load' }); return {}; },
  async fill({ at, where, value }) { await at.page.fill(where, value); return {}; },
  async select({ at, where, value }) { await at.page.selectOption(where, value); return {}; },
  async press({ at, where }) {
    await Promise.all([at.page.waitForNavigation({ waitUntil: 'load' }), at.page.click(where)]);
    return {};
  },
  async facts({ at }) {
    const more = await at.page.evaluate(() => ({
      title: document.title, text: document.body.innerText,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      scripts: document.scripts.length,
      handlers: [...document.querySelectorAll('*')].filter((x) => [...x.attributes].some((a) => /^on/i.test(a.name))).length,
      alive: typeof window.xss !== 'undefined',
    }));
    return { url: at.page.url(), status: at.status, complaints: at.complaints, ...more };
  },
  async axe({ at }) {
    await at.page.evaluate(axe);
    const found = await at.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const say = (n) => n.target + ' ' + (n.any[0]?.message ?? n.failureSummary);
    const wrong = found.violations.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map(say).join(' | '));
    return { wrong, rules: found.passes.length };
  },
  async shot({ at, path, clip }) { await at.page.screenshot({ path, fullPage: true, ...(clip && { clip }) }); return {}; },
  async close({ at }) { await at.context.close(); return {}; },
};

for await (const line of createInterface({ input: process.stdin })) {
  const what = JSON.parse(line);
  let answer;
  try {
    answer = await ops[what.op]({ ...what, at: pages[what.page] });
  } catch (e) {
    answer = { failed: String(e.message ?? e).slice(0, 2000) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
