import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { GrantClaims } from '../../domain/grants/grant.ts';
import { differenceFrom } from '../../domain/grants/grantedRun.ts';
import type { RunFacts } from '../../domain/runs/runFacts.ts';
import { grantOfRun } from '../support/keys.ts';

const digest = (text: string) => createHash('sha256').update(text).digest('hex');

describe('the record of a run', () => {
  const act = { id: 'prn_copilot', iss: 'https://issuer.test', sub: 'copilot', kind: 'agent' as const };
  const claims: GrantClaims = {
    ...grantOfRun,
    act,
    tctx: { ...grantOfRun.tctx, parametersDigest: digest(canonicalJson({})) },
  };
  const actor = {
    id: 'prn_copilot',
    issuer: 'https://issuer.test',
    subject: 'copilot',
    kind: 'agent' as const,
  };
  const requestedBy = {
    id: 'prn_alice',
    issuer: 'https://issuer.test',
    subject: 'alice',
    kind: 'person' as const,
    actor,
  };
  const run: RunFacts = {
    runId: 'orders-1',
    tenant: 'acme',
    pipeline: 'orders',
    version: 1,
    definitionDigest: 'd',
    definition: { id: 'orders', labels: {}, source: { kind: 'upload' }, sink: { kind: 'postgres' } },
    principal: 'prn_alice',
    requestedBy,
    txn: grantOfRun.txn,
    parameters: {},
    source: { kind: 'upload' },
  };
  const differs = (change: Partial<RunFacts>) => differenceFrom(claims, { ...run, ...change }, digest);

  it('agrees with its grant, in whatever order its members are kept', () => {
    assert.equal(differs({}), undefined);
    const turned = Object.fromEntries(Object.entries(requestedBy).reverse()) as typeof requestedBy;
    assert.equal(differs({ requestedBy: turned }), undefined);
  });

  it('differs in each fact that a user may have changed', () => {
    for (const [what, change] of [
      ['tenant', { tenant: 'globex' }],
      ['principal', { principal: 'prn_bob' }],
      ['trace', { txn: 'f'.repeat(32) }],
      ['pipeline', { pipeline: 'readings' }],
      ['pipeline', { version: 2 }],
      ['definition', { definitionDigest: 'e' }],
      ['parameters', { parameters: { currency: 'USD' } }],
      ['source', { source: { kind: 'http', url: 'https://elsewhere.test/' } }],
    ] as [string, Partial<RunFacts>][])
      assert.equal(differs(change), what);
  });

  it('differs in the principal it shows: the person, and the agent of the person', () => {
    const { actor: _, ...alone } = requestedBy;
    for (const shown of [
      { ...requestedBy, id: 'prn_bob' },
      { ...requestedBy, subject: 'bob' },
      { ...requestedBy, issuer: 'https://issuer.test/' },
      { ...requestedBy, kind: 'service' as const },
      { ...requestedBy, actor: { ...actor, subject: 'autopilot' } },
      { ...requestedBy, actor: { ...actor, kind: 'person' as const } },
      { ...requestedBy, name: 'Bob' },
      alone,
    ])
      assert.equal(differs({ requestedBy: shown }), 'requester', JSON.stringify(shown));
  });
});
