import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, it } from 'node:test';
import {
  payloadConverterPath,
  workflowInterceptorModules,
  workflowsPath,
} from '../adapters/temporal/bundleWorkflows.ts';

/**
 * Which folder may import what, as ARCHITECTURE.md draws it: other folders by name, packages by prefix.
 * `mains` are the files that wire a process and so may import adapters; `typesOnly` may be imported as types.
 */
interface Layer {
  may: readonly string[];
  packages: readonly string[] | 'any';
  typesOnly?: readonly string[];
  mains?: { files: RegExp; may: readonly string[] };
}

const layers: Record<string, Layer> = {
  domain: { may: ['domain'], packages: ['zod'] },
  workflows: { may: ['workflows', 'domain'], packages: ['@temporalio/workflow'], typesOnly: ['activities'] },
  activities: {
    may: ['activities', 'domain'],
    packages: ['@temporalio/activity', '@temporalio/common', 'node:'],
  },
  application: { may: ['application', 'domain'], packages: ['uuidv7', 'zod', 'node:'] },
  engine: { may: ['engine', 'connectors', 'adapters', 'domain'], packages: 'any' },
  connectors: { may: ['connectors', 'adapters', 'domain'], packages: 'any' },
  dev: {
    may: ['dev', 'cli', 'sdk', 'adapters', 'domain', 'engine', 'connectors', 'application', 'workers', 'api'],
    packages: 'any',
  },
  adapters: { may: ['adapters', 'engine', 'domain'], packages: 'any', typesOnly: ['sdk'] },
  api: {
    may: ['api', 'domain'],
    packages: 'any',
    mains: { files: /^api\/(main|openapi)\.ts$/, may: ['adapters', 'connectors', 'engine'] },
  },
  workers: {
    may: ['workers', 'workflows', 'activities', 'application', 'adapters', 'connectors', 'engine', 'domain'],
    packages: 'any',
  },
  sdk: { may: ['sdk', 'domain', 'engine', 'connectors', 'adapters'], packages: 'any' },
  cli: { may: ['cli', 'sdk', 'adapters', 'domain'], packages: 'any' },
  examples: { may: ['examples'], packages: ['waybill', '@temporalio', 'zod', 'node:', 'vega-datasets'] },
  bench: {
    may: [
      'bench',
      'test',
      'cli',
      'dev',
      'engine',
      'connectors',
      'application',
      'sdk',
      'api',
      'activities',
      'adapters',
      'domain',
      'workflows',
      'workers',
      'examples',
    ],
    packages: 'any',
  },
  test: {
    may: [
      'test',
      'dev',
      'engine',
      'connectors',
      'application',
      'domain',
      'workflows',
      'activities',
      'adapters',
      'api',
      'workers',
      'sdk',
      'cli',
      'examples',
      'bench',
    ],
    packages: 'any',
  },
};

/** What makes a rule or a workflow depend on when, where or how often it runs. */
const impure = [
  /\bDate\.now\(/,
  /\bnew Date\(\)/,
  /\bMath\.random\(/,
  /\bperformance\.now\(/,
  /from 'node:/,
  /\bprocess\./,
];

/** Files that start a process, and so read its environment. */
const mains = /(^|\/)([a-z]+[mM]ain|main|bin)\.(ts|js)$|^test\/|^bench\/|^examples\//;

const files = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts', '*.js'],
  { encoding: 'utf8' },
)
  .split('\n')
  .filter((file) => file && existsSync(file) && !file.endsWith('.d.ts'));

interface Import {
  file: string;
  target: string;
  local: boolean;
  typeOnly: boolean;
}

const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(file, 'utf8');
  const found = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)';?$/gm);
  return [...found].map(([, type, target]) => ({
    file,
    local: target!.startsWith('.'),
    target: target!.startsWith('.') ? normalize(join(dirname(file), target!)) : target!,
    typeOnly: type !== undefined,
  }));
});

describe('the repository', () => {
  it('keeps every source file in a folder that the layers know', () => {
    const strays = files.filter((file) => !(file.split('/')[0]! in layers));
    assert.deepEqual(strays, []);
  });

  it('imports only along the layers', () => {
    const wrong = imports.filter(({ file, target, local, typeOnly }) => {
      const layer = layers[file.split('/')[0]!]!;
      if (!local) {
        if (layer.packages === 'any') return false;
        return !layer.packages.some((p) => target === p || target.startsWith(p.endsWith(':') ? p : `${p}/`));
      }
      const folder = target.split('/')[0]!;
      const may = [
        ...layer.may,
        ...(layer.mains?.files.test(file) ? layer.mains.may : []),
        ...(typeOnly ? (layer.typesOnly ?? []) : []),
      ];
      return !may.includes(folder);
    });
    assert.deepEqual(
      wrong.map(({ file, target }) => `${file} imports ${target}`),
      [],
    );
  });

  it('imports only files that exist', () => {
    const missing = imports.filter(({ target, local }) => local && !existsSync(target));
    assert.deepEqual(missing, []);
  });

  it('keeps clock, randomness and Node out of the rules and the workflows', () => {
    const wrong = files
      .filter((file) => /^(domain|workflows)\//.test(file))
      .flatMap((file) => {
        const text = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
        return impure.filter((pattern) => pattern.test(text)).map((pattern) => `${file}: ${pattern}`);
      });
    assert.deepEqual(wrong, []);
  });

  it('keeps zod out of what workflows load, each of which has a copy of it', () => {
    const loaded = new Set<string>();
    const load = (file: string): void => {
      if (loaded.has(file)) return;
      loaded.add(file);
      for (const one of imports) if (one.file === file && !one.typeOnly) load(one.target);
    };
    for (const file of [workflowsPath, payloadConverterPath, ...workflowInterceptorModules])
      load(relative(process.cwd(), file));
    assert.ok(loaded.has('domain/runs/run.ts'));
    assert.equal(loaded.has('zod'), false);
  });

  it('reads the environment in main files only', () => {
    const wrong = files.filter(
      (file) => !mains.test(file) && /process\.env/.test(readFileSync(file, 'utf8')),
    );
    assert.deepEqual(wrong, []);
  });

  it('has no file that hides what it holds behind its name', () => {
    const vague = files.filter((file) =>
      /(^|\/)(utils?|common|helpers?|types|misc)(\/|\.(ts|js)$)/.test(file),
    );
    assert.deepEqual(vague, []);
  });

  it('exports nothing but workflows from the workflows’ index', () => {
    const index = readFileSync('workflows/index.ts', 'utf8');
    const exported = [...index.matchAll(/^export (.*)$/gm)].map(([, what]) => what);
    assert.deepEqual(exported, [
      "{ deliverWebhook } from './deliverWebhook.ts';",
      "{ fireSchedule } from './fireSchedule.ts';",
      "{ runPipeline } from './runPipeline.ts';",
    ]);
  });

  it('leaves no task behind in a comment', () => {
    const marker = /\b(TODO|FIXME|XXX|HACK)\b/;
    const left = files.filter(
      (file) => file !== 'test/tidy.test.ts' && marker.test(readFileSync(file, 'utf8')),
    );
    assert.deepEqual(left, []);
  });
});
