import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { createPolicyEngine } from '../../../adapters/policy/engine.ts';
import { readCases } from '../../../adapters/policy/readCases.ts';
import { readPolicies } from '../../../adapters/policy/readPolicies.ts';
import { explanationLines } from '../../../cli/output/explanation.ts';
import { actionResources, type DefinitionFacts } from '../../../domain/policies/policy.ts';
import { tryCases } from '../../../domain/policies/policyCases.ts';
import { PolicyQuery, questionOf } from '../../../domain/policies/policyQuery.ts';
import { loadProject } from '../../../engine/project/loadProject.ts';

const refunds: DefinitionFacts = {
  id: 'refunds',
  labels: { personal: 'no' },
  source: { kind: 'upload' },
  sink: { kind: 'postgres' },
};
const find = (id: string) => (id === 'refunds' ? refunds : undefined);

describe('docs/policy.md', () => {
  let page: string;
  let project: string;

  before(async () => {
    page = await readFile('docs/policy.md', 'utf8');
    project = await mkdtemp(join(tmpdir(), 'waybill-policy-doc-'));
    await mkdir(join(project, 'policies'));
    const files = [...page.matchAll(/`(policies\/[\w.]+)`:\n\n```(?:cedar|json)\n([\s\S]*?)```/g)];
    assert.equal(files.length, page.match(/```(cedar|json)/g)?.length, 'each block says which file it is');
    for (const [, name, text] of files) await writeFile(join(project, name!), text!);
  });
  after(() => rm(project, { recursive: true }));

  it('shows policies that validate, and cases that they answer', async () => {
    const set = await readPolicies(project);
    const { results, unexercised } = tryCases(
      createPolicyEngine(set),
      Object.keys(set.policies).filter((id) => id.startsWith('refunds/')),
      await readCases(project),
      find,
    );
    assert.deepEqual(
      results.filter(({ wrong }) => wrong !== null),
      [],
    );
    assert.deepEqual([results.length, unexercised], [3, []]);
  });

  it('shows what policy explain answers', async () => {
    const policy = createPolicyEngine(await readPolicies('examples/acme'));
    const policyQuery = PolicyQuery.parse({
      principal: { roles: ['data-engineer'], kind: 'service', subject: 'web-shop' },
      action: 'trigger',
      resource: { kind: 'pipeline', id: 'orders' },
    });
    const project = await loadProject('examples/acme');
    const tenants = { principal: 'acme', resource: 'acme' };
    const question = questionOf(policyQuery, tenants, (id) => project.find(id)?.manifest)!;
    const said = explanationLines(policyQuery, {
      ...policy.explain(question),
      roles: [...policy.explain(question).roles],
    }).map(stripVTControlCharacters);
    const [, shown] = /```text\n(Denied: [\s\S]*?)```/.exec(page)!;
    let at = 0;
    for (const line of shown!.trimEnd().split('\n')) {
      if (line.trim() === '…') continue;
      const found = said.indexOf(line, at);
      assert.ok(found >= 0, `${line}\nis not in\n${said.join('\n')}`);
      at = found + 1;
    }
  });

  it('speaks of every action', () => {
    for (const action of Object.keys(actionResources))
      assert.match(page, new RegExp(`\`${action}\``), action);
  });
});

describe('the policies of examples/acme', () => {
  it('answer their cases, which exercise every policy', async () => {
    const set = await readPolicies('examples/acme');
    const [definitions, cases] = await Promise.all([
      loadProject('examples/acme'),
      readCases('examples/acme'),
    ]);
    const { results, unexercised } = tryCases(
      createPolicyEngine(set),
      Object.keys(set.policies),
      cases,
      (id) => definitions.find(id)?.manifest,
    );
    assert.deepEqual(
      results.filter(({ wrong }) => wrong !== null),
      [],
    );
    assert.deepEqual(unexercised, []);
  });

  it('are told where a case is answered otherwise, and which policies no case exercises', async () => {
    const set = await readPolicies();
    const [first] = await readCases('examples/acme');
    const tried = tryCases(
      createPolicyEngine(set),
      Object.keys(set.policies),
      [
        { ...first!, name: 'other', expect: 'deny' },
        { ...first!, name: 'silent', policies: ['base/auditors'] },
      ],
      () => refunds,
    );
    const wrong = Object.fromEntries(tried.results.map((result) => [result.name, result.wrong]));
    assert.equal(wrong.other, 'allowed by base/data-engineers');
    assert.equal(wrong.silent, 'decided by base/data-engineers, and not by base/auditors');
    assert.equal(tried.unexercised.length, Object.keys(set.policies).length - 1);
  });
});
