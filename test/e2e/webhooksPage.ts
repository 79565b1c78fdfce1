import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { webhookTypes } from '../../domain/webhooks/webhookEvent.ts';
import { startCommand } from '../cli/waybillProcess.ts';
import type { DevStack } from '../support/devStack.ts';

const page = readFileSync('docs/webhooks.md', 'utf8');
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block]) => block!);

/** docs/webhooks.md: its receiver listens on `port`, where the stack may send events. */
export function followWebhooksPage(given: () => { stack: DevStack; port: number }): void {
  let folder: string;
  let stack: DevStack;
  let receiver: ChildProcess;
  let port: number;
  let said = '';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waybill-webhooks-doc-'));
    ({ stack, port } = given());
    const file = join(folder, 'receiver.mjs');
    await writeFile(file, blocks('js')[0]!);
    receiver = spawn(process.execPath, [file], {
      env: { WAYBILL_URL: stack.info().apiUrl, TENANT: 'acme', PORT: String(port) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    receiver.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    while (!(await fetch(`http://127.0.0.1:${port}`).catch(() => undefined)))
      await new Promise((resolve) => setTimeout(resolve, 50));
  });
  after(async () => {
    receiver?.kill();
    await rm(folder, { recursive: true });
  });

  it('names every type of event', () => {
    assert.deepEqual(
      [...page.matchAll(/^\| `((?:run|approval|schedule)\.\w+)`/gm)].map(([, type]) => type),
      webhookTypes,
    );
  });

  it('begins a run; its receiver takes the events of it, and no others', async () => {
    const alice = await stack.as('alice');
    const { token } = JSON.parse(
      (
        await startCommand(process.execPath, ['cli/bin.js', 'token', '--as', 'alice', '--json'], {
          WAYBILL_HOME: stack.home,
        }).ended
      ).stdout,
    ) as { token: string };
    const command = blocks('sh')[0]!.replace(
      'https://hooks.example.com/waybill',
      `http://127.0.0.1:${port}/waybill`,
    );
    const { code, stdout } = await startCommand('sh', ['-e', '-c', command], {
      WAYBILL_URL: stack.info().apiUrl,
      TOKEN: token,
    }).ended;
    assert.equal(code, 0);
    const { id } = JSON.parse(stdout) as { id: string };
    while (!said.includes(id)) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.match(said, new RegExp(`^run\\.(completed|failed): ${id} read 1$`, 'm'));

    const forged = await fetch(`http://127.0.0.1:${port}`, {
      method: 'POST',
      body: '{"type":"run.completed","data":{"run":"forged"}}',
      headers: {
        'webhook-id': 'dlv_1',
        'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
        'webhook-signature': `v1a,${Buffer.alloc(64).toString('base64')}`,
      },
    });
    assert.equal(forged.status, 401);
    assert.equal(said.includes('forged'), false);
    const delivered = await (await alice(`/v1/deliveries?run=${id}`)).json();
    assert.equal((delivered as { items: unknown[] }).items.length, 1);
  });

  it('shows how to look for what was given up', async () => {
    const { code, stdout } = await startCommand(
      'sh',
      ['-e', '-c', `npx() { shift; "${process.execPath}" cli/bin.js "$@"; }\n${blocks('sh')[1]!}`],
      { WAYBILL_HOME: stack.home },
    ).ended;
    assert.deepEqual([code, stdout], [0, 'There are no such deliveries.\n']);
  });
}
