import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { generate } from '../../api/openapi.ts';
import { type Route, routeTable } from '../../api/routeTable.ts';
import { buildServer } from '../../api/server.ts';

const root = join(import.meta.dirname, '..', '..');

describe('the OpenAPI document', () => {
  let generated: Awaited<ReturnType<typeof generate>>;
  before(async () => {
    generated = await generate();
  });

  for (const file of ['docs/openapi.json', 'docs/routes.md', 'sdk/generated/openapi.d.ts'] as const) {
    it(`${file} is what npm run openapi writes`, async () => {
      assert.equal(await readFile(join(root, file), 'utf8'), generated[file]);
    });
  }

  it('says what its parts mean', () => {
    const { paths, components } = JSON.parse(generated['docs/openapi.json']);
    const parameters: { name: string; description?: string }[] = paths['/v1/approvals'].get.parameters;
    assert.match(parameters.find(({ name }) => name === 'view')!.description!, /you may decide them now/);
    assert.match(components.schemas.Problem.properties.code.description, /^Stable/);
  });

  it('each route of the table is in it, and no other', () => {
    const { paths } = JSON.parse(generated['docs/openapi.json']) as { paths: Record<string, object> };
    const documented = Object.entries(paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const rows = Object.values(routeTable).map(
      ({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`,
    );
    assert.deepEqual(documented.sort(), rows.sort());
  });
});

describe('the router', () => {
  it('serves each path by the methods of the table and by no other', async () => {
    const app = await buildServer({} as never, { instance: 'test', namespace: 'default' });
    await app.ready();
    const rows = Object.values(routeTable).map(({ method, path }) => `${method} ${path}`);
    for (const { path } of Object.values(routeTable))
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE'] as const)
        assert.equal(
          app.hasRoute({ method, url: path }),
          rows.includes(`${method} ${path}`),
          `${method} ${path}`,
        );
    await app.close();
  });

  it('each route asks for a token and for an action, or for neither, unless it is about the caller alone', () => {
    const rows: [string, Route][] = Object.entries(routeTable);
    for (const [name, { identity, action, resource }] of rows) {
      assert.equal(identity === 'token' && resource !== 'self', action !== null, name);
      assert.equal(identity === 'token', resource !== null, name);
    }
  });

  it('each route that changes something is audited and bears repeating', () => {
    for (const [name, { method, action, audit, repeat }] of Object.entries(routeTable)) {
      // To explain and to preview is to ask, with a question too large for a query. Who looks at values is on record.
      const changes =
        method !== 'GET' && method !== 'HEAD' && name !== 'explain' && name !== 'previewSchedule';
      assert.equal(changes || action === 'reveal' || name === 'getDeadLetter', audit !== null, name);
      assert.equal(changes, repeat !== 'safe', name);
    }
  });
});
