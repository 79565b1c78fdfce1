import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '../../cli/writeAtomically.ts';
import type { Home } from './home.ts';
import { choosePorts } from './ports.ts';
import type { StackSettings } from './stackSettings.ts';

const parts = {
  api: ['WAYBILL_API_PORT', 'the API'],
  issuer: ['WAYBILL_ISSUER_PORT', 'the identity provider'],
  temporal: ['WAYBILL_TEMPORAL_PORT', 'Temporal'],
  temporalUi: ['WAYBILL_TEMPORAL_UI_PORT', 'Temporal’s Web UI'],
  database: ['WAYBILL_DATABASE_PORT', 'PostgreSQL'],
  metrics: ['WAYBILL_METRICS_PORT', 'what Prometheus reads of the API'],
} as const;

export type StackPorts = Record<keyof typeof parts, number>;

/**
 * Chooses all ports before anything starts. The issuer’s port is part of every identity (a principal is an
 * issuer and a subject), so the one that a home once had is preferred for good.
 */
export async function chooseStackPorts(
  home: Home,
  settings: StackSettings,
  say: (line: string) => void,
): Promise<StackPorts> {
  const issuerFile = join(home.path, 'issuer-port');
  const remembered = Number(await readFile(issuerFile, 'utf8').catch(() => '0'));
  const wanted = Object.fromEntries(
    Object.entries(parts).map(([name, [variable]]) => [name, settings[variable]]),
  ) as StackPorts;
  if (remembered) wanted.issuer = remembered;
  const chosen = await choosePorts(wanted);
  for (const name of Object.keys(parts) as (keyof StackPorts)[]) {
    const [variable, words] = parts[name];
    if (wanted[name] === 0 || wanted[name] === chosen[name]) continue;
    say(
      `Port ${wanted[name]} is taken, so ${words} is on ${chosen[name]}. Set ${variable} to choose another.`,
    );
  }
  if (remembered && remembered !== chosen.issuer) {
    say(
      'The identity provider has another address now, so every user is a new principal. Free its old port and start again to get the old ones back.',
    );
  } else {
    writeAtomically(issuerFile, String(chosen.issuer));
  }
  return chosen;
}
