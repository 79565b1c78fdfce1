import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Registry } from 'prom-client';
import { createBreakers } from '../../adapters/breakers/createBreakers.ts';
import { guardSources } from '../../adapters/breakers/guardSystems.ts';
import { measureBreakers } from '../../adapters/telemetry/breakerMetrics.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Breakers, OutsideSystem } from '../../domain/ports/breakers.ts';
import type { Sources } from '../../domain/ports/sources.ts';
import { until } from '../support/until.ts';

const geo: OutsideSystem = { kind: 'lookup', tenant: 'acme', name: 'geo.example' };
const away = () =>
  Promise.reject(new WaybillError('LookupUnavailable', { publicDetail: 'geo.example answered 503.' }));
const codeOf = async (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    (error: WaybillError) => error.code,
  );

async function breakIt(breakers: Breakers, system = geo) {
  for (let call = 0; call < 5; call++)
    assert.equal(await codeOf(breakers.run(system, away)), 'LookupUnavailable');
}

describe('a circuit breaker', () => {
  it('opens after five failures, calls no more, and says which system it waits for, why and how long', async () => {
    const breakers = createBreakers();
    await breakIt(breakers);
    let calls = 0;
    await assert.rejects(
      breakers.run(geo, async () => calls++),
      (error: WaybillError) => {
        assert.equal(error.code, 'SystemUnavailable');
        assert.ok(error.message.endsWith('It waits for the lookup geo.example. geo.example answered 503.'));
        assert.ok(error.retryAfterMs! > 2_000 && error.retryAfterMs! < 8_000, String(error.retryAfterMs));
        return true;
      },
    );
    assert.equal(calls, 0);
  });

  it('opens for a system of which each second call fails', async () => {
    const breakers = createBreakers();
    const codes: string[] = [];
    for (let call = 0; call < 10; call++)
      codes.push(await codeOf(breakers.run(geo, call % 2 ? async () => 1 : away)));
    assert.equal(codes.at(-1), 'SystemUnavailable');
  });

  it('stays closed where the system rejects what it is asked', async () => {
    const breakers = createBreakers();
    const rejected = () => Promise.reject(new WaybillError('LookupRefused'));
    for (let call = 0; call < 20; call++)
      assert.equal(await codeOf(breakers.run(geo, rejected)), 'LookupRefused');
    assert.deepEqual(breakers.states(), []);
  });

  it('is one of a tenant and a system', async () => {
    const breakers = createBreakers();
    await breakIt(breakers);
    for (const other of [{ tenant: 'globex' }, { name: 'other.example' }, { kind: 'source' as const }])
      assert.equal(await codeOf(breakers.run({ ...geo, ...other }, async () => 1)), 'ok');
  });

  it('lets one probe through, which closes it or opens it for longer', async () => {
    const breakers = createBreakers({ firstMs: 20, maxMs: 40 });
    await breakIt(breakers);
    assert.deepEqual(breakers.states(), [{ kind: 'lookup', name: 'geo.example', state: 'open' }]);
    await until(
      'a probe is let through',
      async () => (await codeOf(breakers.run(geo, away))) === 'LookupUnavailable',
      30_000,
    );
    assert.equal(breakers.states()[0]!.state, 'open');
    const probe = Promise.withResolvers<number>();
    let probing: Promise<number> | undefined;
    await until(
      'the next one too',
      async () => {
        const begun = Promise.withResolvers<boolean>();
        const one = breakers.run(geo, () => {
          begun.resolve(true);
          return probe.promise;
        });
        one.catch(() => begun.resolve(false));
        if (await begun.promise) probing = one;
        return probing !== undefined;
      },
      30_000,
    );
    assert.equal(breakers.states()[0]!.state, 'half-open');
    // The others are not kept waiting.
    assert.equal(await codeOf(breakers.run(geo, async () => 1)), 'SystemUnavailable');
    probe.resolve(1);
    assert.equal(await probing, 1);
    assert.equal(breakers.states()[0]!.state, 'closed');
    assert.equal(await codeOf(breakers.run(geo, async () => 1)), 'ok');
  });

  it('is shown by a metric', async () => {
    const registry = new Registry();
    const breakers = createBreakers();
    measureBreakers(registry, breakers);
    await breakIt(breakers);
    assert.match(
      await registry.metrics(),
      /^waybill_breaker_state\{kind="lookup",system="geo.example"\} 2$/m,
    );
  });

  it('counts a source that sends its headers and no more', async () => {
    const stalls = {
      open: async () => ({
        version: null,
        // biome-ignore lint/correctness/useYield: it stalls before the first chunk
        stream: (async function* (): AsyncGenerator<Uint8Array> {
          throw new WaybillError('SourceUnavailable');
        })(),
      }),
    } as unknown as Sources;
    const sources = guardSources(stalls, createBreakers(), () => 'acme');
    const read = async () => {
      const { stream } = await sources.open({
        kind: 'http',
        url: 'https://user:secret@feed.example/data?token=t',
      });
      for await (const _ of stream);
    };
    const codes: string[] = [];
    let message = '';
    for (let call = 0; call < 10; call++)
      await read().catch((error: WaybillError) => {
        codes.push(error.code);
        message = error.message;
      });
    assert.equal(codes.at(-1), 'SystemUnavailable');
    assert.match(message, /the source feed\.example\./);
    assert.doesNotMatch(message, /secret|token/);
  });
});
