import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { effectiveLimits, limitKinds, limitNames, limitsIn, WrittenLimits } from '../../domain/limits.ts';

const written = WrittenLimits.parse({
  default: { runsInFlight: 50, pipelines: { orders: { runsInFlight: 10 } } },
  tenants: { acme: { schedules: 3, pipelines: { orders: { triggersPerSecond: 2 } } } },
});

describe('limits', () => {
  it('are those of the tenant, else those of every tenant, else the default', () => {
    const of = (tenant: string) =>
      effectiveLimits(limitsIn(written), tenant).filter(
        ({ name, pipeline, max }) => pipeline !== null || max !== limitKinds[name].max,
      );
    const everyone = [
      { name: 'runsInFlight', pipeline: null, max: 50 },
      { name: 'runsInFlight', pipeline: 'orders', max: 10 },
    ];
    assert.deepEqual(of('globex'), everyone);
    assert.deepEqual(of('acme'), [
      everyone[0],
      { name: 'schedules', pipeline: null, max: 3 },
      everyone[1],
      { name: 'triggersPerSecond', pipeline: 'orders', max: 2 },
    ]);
  });

  it('have each a default', () => {
    assert.deepEqual(
      effectiveLimits([], 'acme'),
      limitNames.map((name) => ({ name, pipeline: null, max: limitKinds[name].max })),
    );
  });

  for (const [what, value] of Object.entries({
    'another name': { default: { runs: 1 } },
    'a negative number': { default: { schedules: -1 } },
    'a part': { default: { schedules: 1.5 } },
    'a pipeline, where a limit is of a tenant alone': {
      default: { pipelines: { orders: { schedules: 1 } } },
    },
  }))
    it(`are rejected with ${what}`, () => assert.equal(WrittenLimits.safeParse(value).success, false));
});
