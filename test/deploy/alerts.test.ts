import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { locatePromtool } from '../../dev/binaries/promtool.ts';
import { runToEnd } from '../../dev/binaries/runToEnd.ts';
import { searchFromEnvironment } from '../../dev/binaries/temporalBinary.ts';

const root = new URL('../../', import.meta.url);
const folder = fileURLToPath(new URL('deploy/observability/', root));
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const rules = read('deploy/observability/alerts.yaml');
const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
const promtool = await locatePromtool(searchFromEnvironment(process.env));

describe('alerts', () => {
  it('have each a page in the runbook, in one order', () => {
    const pages = [...read('docs/runbook.md').matchAll(/^## (\w+)$/gm)].map(([, name]) => name);
    assert.deepEqual(pages, alerts);
  });

  it('ask for metrics that Waybill, Temporal’s SDK or Node has', () => {
    const documented = read('docs/metrics.md');
    const names = rules.match(/\b(waybill|temporal|nodejs)_[a-z0-9_]+/g)!;
    const unknown = names.filter((name) => !documented.includes(name.replace(/_(bucket|count)$/, '')));
    assert.deepEqual(unknown, []);
  });

  it('are tested each for its cause and without it', () => {
    const tests = read('deploy/observability/alerts.test.yaml');
    for (const name of alerts)
      for (const which of ['fires', 'is silent'])
        assert.ok(tests.includes(`"${name} ${which}"`), `${name} ${which}`);
  });

  it('fire for their cause, and are silent else', { skip: !promtool && 'npm run promtool' }, async () => {
    assert.match(await runToEnd(promtool!, ['check', 'rules', 'alerts.yaml'], { cwd: folder }), /SUCCESS/);
    assert.match(
      await runToEnd(promtool!, ['test', 'rules', 'alerts.test.yaml'], { cwd: folder }),
      /SUCCESS/,
    );
  });
});
