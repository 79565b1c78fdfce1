import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import birdstrikes from '../../examples/acme/pipelines/birdstrikes.ts';
import countries from '../../examples/acme/pipelines/countries.ts';
import { testPipeline } from '../../sdk/testing.ts';

const data = (path: string) => readFile(new URL(`../../${path}`, import.meta.url));

describe('birdstrikes', () => {
  test('has the properties that its page tells of', async () => {
    const text = (await data('node_modules/vega-datasets/data/birdstrikes.csv')).toString();
    const [header, ...rows] = text.split('\r\n');
    assert.equal(rows.length, 10_000);
    assert.equal(text.split('\n').length, 10_001, 'every line ends in CRLF');
    assert.ok(header?.includes('Cost Total $'));
    assert.equal(rows.filter((row) => row.endsWith(',')).length, 2836);
    assert.equal(new Set(rows).size, 9976);
  });

  test('10,000 rows are read, 9,976 stored and 24 deduplicated', async () => {
    const { counts, stored } = await testPipeline(birdstrikes, {
      bytes: await data('node_modules/vega-datasets/data/birdstrikes.csv'),
    });
    assert.deepEqual(counts, {
      read: 10_000,
      passed: 10_000,
      filtered: 0,
      rejected: 0,
      emitted: 10_000,
      stored: 9976,
      unchanged: 0,
      deduplicated: 24,
    });
    assert.equal(stored[0]?.airport, 'BARKSDALE AIR FORCE BASE ARPT');
    assert.equal(stored[0]?.speed_knots, 300);
    assert.ok(stored.some((row) => row.speed_knots === null));
  });
});

test('countries are stored as they are read', async () => {
  const { counts, stored } = await testPipeline(countries, {
    bytes: await data('examples/acme/data/countries.csv'),
  });
  assert.equal(counts.stored, 12);
  assert.deepEqual(stored[9], {
    code: 'PL',
    name: 'Poland',
    population: 36620970,
    area_km2: 312679,
    euro_since: null,
  });
});
