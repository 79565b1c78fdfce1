import { describe, it } from 'node:test';
import { properties } from './formatProperties.ts';

/** `npm run chaos -- formats` runs them for longer. */
const runs = 150;

describe('rows, dead letters and counts do not depend on chunks, batches and kills', () => {
  for (const [name, check] of Object.entries(properties)) it(name, () => check(runs));
});
