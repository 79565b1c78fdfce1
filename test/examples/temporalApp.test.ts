import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { startTemporalForTest } from '../adapters/temporal/server.ts';
import { startIssuer } from '../api/issuer.ts';

const run = promisify(execFile);

describe('examples/temporal-app', () => {
  let env: TestWorkflowEnvironment;
  let issuer: Awaited<ReturnType<typeof startIssuer>>;

  before(async () => {
    ({ env } = await startTemporalForTest());
    issuer = await startIssuer();
  });
  after(async () => {
    await issuer?.stop();
    await env?.teardown();
  });

  it('pays the requester once another person has approved, and rejects every other way', async () => {
    const { stdout } = await run(process.execPath, ['examples/temporal-app/main.ts'], {
      env: {
        PATH: process.env.PATH,
        TEMPORAL_ADDRESS: env.address,
        ISSUER_URL: issuer.url,
        REQUESTER_TOKEN: await issuer.token(),
        APPROVER_TOKEN: await issuer.token({ sub: 'bob', roles: ['data-steward'] }),
      },
    });
    const lines = stdout.trimEnd().split('\n');
    const id = /^expense-\d+/.exec(lines[0]!)![0];
    assert.deepEqual(lines, [
      `${id}: ApplicationFailure: Ask another person.`,
      `${id}: rejected, GrantMissing`,
      `${id}: ApplicationFailure: The run carries no grant. Start it through Waybill, not through Temporal.`,
      `${id}-by-hand: rejected, GrantMissing`,
      `${id}: ApplicationFailure: The run carries no grant. Start it through Waybill, not through Temporal.`,
      `${id.replace('expense-', '')}: paid 120 to alice of acme, approved by bob`,
    ]);
  });
});

describe('docs/temporal-plugin.md', () => {
  const page = readFileSync('docs/temporal-plugin.md', 'utf8');
  const blocks = [...page.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)];

  it('shows code that is executed: each block stands in the example', () => {
    assert.equal(blocks.length, page.match(/```ts/g)?.length);
    for (const [, file, block] of blocks) {
      const lines = (text: string) => text.split('\n').map((line) => line.trim());
      const example = lines(readFileSync(`examples/temporal-app/${file}`, 'utf8')).join('\n');
      for (const part of block!.split(/^ *\/\/ …$/m))
        assert.ok(example.includes(lines(part.trim()).join('\n')), `${file}: ${part}`);
    }
  });

  it('lists what is exported, and nothing else', async () => {
    for (const name of ['temporal', 'temporalWorkflow']) {
      const exported = Object.keys(await import(`../../sdk/${name}.ts`));
      const listed = [...page.matchAll(/^\| `(\w+)/gm)].map(([, one]) => one!);
      assert.deepEqual(
        exported.filter((one) => !listed.includes(one)),
        [],
      );
    }
  });
});
