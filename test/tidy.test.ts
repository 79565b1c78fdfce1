import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { describe, it } from 'node:test';
import {
  payloadConverterPath,
  workflowInterceptorModules,
  workflowsPath,
} from '../adapters/temporal/bundleWorkflows.ts';
import { errors } from '../domain/errors.ts';
import {
  codeFiles,
  codeOf,
  exportedNames,
  folderOf,
  importCircles,
  imports,
  proseFiles,
  textOf,
} from './support/sourceTree.ts';

/** A row of DESIGN's layer table: which folders and packages a folder may import. */
interface Layer {
  may: readonly string[];
  packages: readonly string[] | 'any';
  /** Folders that may be imported as types only. */
  types?: readonly string[];
  /** Files that wire a process or an entry of the SDK, and what they may import in addition. */
  mains?: { files: RegExp; may: readonly string[] };
}

const everything = [
  'domain',
  'application',
  'workflows',
  'activities',
  'engine',
  'connectors',
  'adapters',
  'api',
  'workers',
  'sdk',
  'cli',
  'dev',
  'examples',
  'bench',
  'test',
];

const layers: Record<string, Layer> = {
  domain: { may: ['domain'], packages: ['zod'] },
  application: { may: ['application', 'domain'], packages: ['uuidv7', 'zod', 'node:'] },
  workflows: { may: ['workflows', 'domain'], packages: ['@temporalio/workflow'], types: ['activities'] },
  activities: {
    may: ['activities', 'application', 'domain'],
    packages: ['@temporalio/activity', '@temporalio/common', 'node:'],
  },
  engine: { may: ['engine', 'connectors', 'domain'], packages: 'any' },
  connectors: { may: ['connectors', 'domain'], packages: 'any' },
  // The policy schema, the ledger and applySinks read the registry of connectors.
  adapters: { may: ['adapters', 'connectors', 'domain'], packages: 'any' },
  api: {
    // Media types and schemas come from the registry of connectors.
    may: ['api', 'application', 'connectors', 'domain'],
    packages: 'any',
    mains: { files: /^api\/(main|openapi)\.ts$/, may: ['adapters', 'engine', 'connectors'] },
  },
  workers: {
    may: ['workers', 'workflows', 'activities', 'application', 'engine', 'connectors', 'adapters', 'domain'],
    packages: 'any',
  },
  sdk: {
    may: ['sdk', 'engine', 'connectors', 'domain'],
    packages: 'any',
    // The identity of a Temporal application, and the work on a project and its database.
    mains: { files: /^sdk\/(temporal|project|checkFile)\.ts$/, may: ['adapters'] },
  },
  // The media type of an upload comes from the registry of connectors.
  cli: { may: ['cli', 'sdk', 'connectors', 'domain'], packages: 'any' },
  dev: { may: everything.filter((folder) => folder !== 'test' && folder !== 'bench'), packages: 'any' },
  examples: { may: ['examples'], packages: ['waybill', '@temporalio', 'zod', 'node:', 'vega-datasets'] },
  bench: { may: everything, packages: 'any' },
  test: { may: everything, packages: 'any' },
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

/** Files that a process or a tool loads by their path or from their folder, and so no file imports. */
const entries = [
  /(^|\/)([a-zA-Z]+Main|main|bin)\.(ts|js)$/,
  /\.test\.ts$/,
  /(^|\/)pipelines\/\w+\.ts$/,
  /^adapters\/postgres\/migrations\//,
  /^(sdk|workflows)\/\w+\.ts$/,
  /^test\/run\.ts$|^test\/workflows\/recordHistories\.ts$|^examples\/acme\/generate\.ts$/,
  /\.types\.ts$/,
];

/** STYLE, point 3: name the actor. */
const vagueWords =
  /\b(nobody|somebody|anybody|whoever|whom|whomever|whose|thereof|thereby|wherein|anew|meanwhile)\b/gi;

/**
 * How many vague words (`nobody` is also a Unix user), files in import circles, names exported twice and files under
 * 25 lines are left. These numbers only go down.
 */
const vagueWordsLeft: Record<string, number> = { code: 1, docs: 1 };
const areaOf = (file: string) => (file.endsWith('.md') ? 'docs' : 'code');
const filesInCirclesLeft: Record<string, number> = {};
const namesTwiceLeft = 0;
const wordsNotUsedLeft = 0;
const shortFilesLeft = 40;

const production = codeFiles.filter((file) => !/^(test|bench|examples)\//.test(file));

/** A use case, its route, its port, its workflow and its method of the client are one idea, and so have one name. */
const oneIdea = ['domain', 'application', 'adapters', 'workflows', 'api', 'sdk'];
const nameOneIdea = (files: readonly string[]) =>
  files.every((file) => oneIdea.includes(folderOf(file))) &&
  new Set(files.map(folderOf)).size === files.length;

/** Short files that are a file of their own for a reason. */
const shortOnPurpose: readonly [files: RegExp, reason: string][] = [
  [/^domain\/ports\//, 'one port for each noun'],
  [/^sdk\/|(^|\/)index\.ts$/, 'an entry that users or a registry import'],
  [
    /(^|\/)(\w+Main|main)\.ts$|^(adapters\/temporal\/lenientConverter|workers\/noPromiseStacks)\.ts$/,
    'a process or a bundler loads it',
  ],
  [/^adapters\/postgres\/migrations\//, 'one step of the schema'],
  [/^(activities|workflows|api\/routes)\/\w+\.ts$/, 'one step, one workflow or one resource'],
  [/^application\/(redeliver|\w+\/(revealSample|recordLogout|authorizeRun))\.ts$/, 'one use case'],
];

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}

/** The counts that are larger than they may be; what is not listed may not be there at all. */
function above(counts: Record<string, number>, max: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([key, count]) => count > (max[key] ?? 0)));
}

const glossary = textOf('docs/glossary.md');
const rowsOf = (heading: string) =>
  [
    ...glossary
      .split(`## ${heading}\n`)[1]!
      .split('\n## ')[0]!
      .matchAll(/^\| ([^|]+?) +\|/gm),
  ]
    .map(([, cell]) => cell!)
    .filter((cell) => !/^(term|word|-+)$/.test(cell));

/** The words of a name, in lower case: `startRun`, `RunEnded` and `dead-letters` have two. */
const wordsOf = (name: string) =>
  name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z\d]+/);

/** `runs` is a run, `deliveries` are deliveries. */
const singular = (word: string) => word.replace(/ies$/, 'y').replace(/([^s])s$/, '$1');

/** Words of codes and commands that name no idea of Waybill: what HTTP says, and verbs that every command line has. */
const ordinary = [
  ...['not', 'found', 'internal', 'forbidden', 'unauthenticated', 'method', 'media', 'too', 'signed', 'self'],
  ...['paused', 'create', 'list', 'test', 'update', 'delete', 'get'],
];

describe('docs/glossary.md', () => {
  const terms = new Set(rowsOf('Terms').flatMap((term) => wordsOf(term).map(singular)));
  const commands = codeFiles
    .filter((file) => file.startsWith('cli/'))
    .flatMap((file) => [...textOf(file).matchAll(/\.command\('([a-z-]+)'/g)].map(([, name]) => name!));
  const exported = [...exportedNames(production).keys()];

  it('lists each term once, in order', () => {
    for (const heading of ['Terms', 'Not used'])
      assert.deepEqual(
        rowsOf(heading),
        [...new Set(rowsOf(heading))].sort((a, b) => a.localeCompare(b)),
      );
  });

  it('has a term for what each error code is about', () => {
    const missing = Object.keys(errors).filter(
      (code) => !wordsOf(code).some((word) => terms.has(singular(word)) || ordinary.includes(word)),
    );
    assert.deepEqual(missing, []);
  });

  it('has a term for each command of the CLI', () => {
    assert.ok(commands.length > 15);
    const missing = commands.filter(
      (name) => !wordsOf(name).some((word) => terms.has(singular(word)) || ordinary.includes(word)),
    );
    assert.deepEqual(missing, []);
  });

  it('forbids words that no exported name, error code or command uses', () => {
    const forbidden = new Set(rowsOf('Not used'));
    const used = [...exported, ...Object.keys(errors), ...commands].filter((name) =>
      wordsOf(name).some((word) => forbidden.has(word)),
    );
    assert.ok(used.length <= wordsNotUsedLeft, used.join('\n'));
  });
});

describe('the repository', () => {
  it('keeps every source file in a folder that the layers know', () => {
    const strays = codeFiles.filter((file) => !(folderOf(file) in layers));
    assert.deepEqual(strays, []);
  });

  it('imports only along the layers', () => {
    const wrong = imports.filter(({ file, target, local, kind }) => {
      const layer = layers[folderOf(file)]!;
      if (!local) {
        if (layer.packages === 'any') return false;
        return !layer.packages.some((p) => target === p || target.startsWith(p.endsWith(':') ? p : `${p}/`));
      }
      const may = [
        ...layer.may,
        ...(layer.mains?.files.test(file) ? layer.mains.may : []),
        ...(kind === 'type' ? (layer.types ?? []) : []),
      ];
      return !may.includes(folderOf(target));
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

  it('has no import circle, type imports included', () => {
    const circles = importCircles();
    const found = countBy(circles.flat(), folderOf);
    assert.deepEqual(
      above(found, filesInCirclesLeft),
      {},
      circles.map((files) => files.join(' ← ')).join('\n'),
    );
  });

  it('has no file that nothing imports and no process loads', () => {
    const imported = new Set(imports.map(({ target }) => target));
    const unused = codeFiles.filter((file) => {
      if (imported.has(file) || entries.some((entry) => entry.test(file))) return false;
      // The bundler and the thread pool take paths.
      const name = new RegExp(`[/'"\`]${file.split('/').at(-1)!.replace('.', '\\.')}['"\`]`);
      return !codeFiles.some((other) => other !== file && name.test(textOf(other)));
    });
    assert.deepEqual(unused, []);
  });

  it('exports a name once, or once in each layer of one idea', () => {
    const twice = [...exportedNames(production)]
      .map(([name, files]) => ({ name, files: files.filter((file) => !file.includes('/migrations/')) }))
      .filter(({ files }) => files.length > 1 && !nameOneIdea(files))
      .map(({ name, files }) => `${name}: ${files.join(', ')}`);
    assert.ok(twice.length <= namesTwiceLeft, twice.join('\n'));
  });

  it('keeps clock, randomness and Node out of the rules and the workflows', () => {
    const wrong = codeFiles
      .filter((file) => /^(domain|workflows)\//.test(file))
      .flatMap((file) =>
        impure.filter((pattern) => pattern.test(codeOf(file))).map((pattern) => `${file}: ${pattern}`),
      );
    assert.deepEqual(wrong, []);
  });

  it('keeps zod out of what workflows load, each of which has a copy of it', () => {
    const loaded = new Set<string>();
    const load = (file: string): void => {
      if (loaded.has(file)) return;
      loaded.add(file);
      for (const one of imports) if (one.file === file && one.kind !== 'type') load(one.target);
    };
    for (const file of [workflowsPath, payloadConverterPath, ...workflowInterceptorModules])
      load(relative(process.cwd(), file));
    assert.ok(loaded.has('domain/runs/run.ts'));
    assert.equal(loaded.has('zod'), false);
  });

  it('reads the environment in main files only', () => {
    const wrong = codeFiles.filter((file) => !mains.test(file) && /process\.env/.test(textOf(file)));
    assert.deepEqual(wrong, []);
  });

  it('has no file that hides what it holds behind its name', () => {
    const vague = codeFiles.filter((file) =>
      /(^|\/)(utils?|common|helpers?|types|misc)(\/|\.(ts|js)$)/.test(file),
    );
    assert.deepEqual(vague, []);
  });

  it('has no production file under 25 lines without a reason', () => {
    const short = production.filter(
      (file) => textOf(file).split('\n').length <= 25 && !shortOnPurpose.some(([files]) => files.test(file)),
    );
    assert.ok(short.length <= shortFilesLeft, short.join('\n'));
  });

  it('names the actor in code, pages and messages', () => {
    const lines = proseFiles
      .filter((file) => file !== 'test/tidy.test.ts')
      .flatMap((file) =>
        [...textOf(file).matchAll(vagueWords)].map((match) => {
          const line = textOf(file).slice(0, match.index).split('\n').length;
          return `${file}:${line} ${match[0]}`;
        }),
      );
    const over = above(
      countBy(lines, (line) => areaOf(line.split(':')[0]!)),
      vagueWordsLeft,
    );
    assert.deepEqual(over, {}, lines.filter((line) => areaOf(line.split(':')[0]!) in over).join('\n'));
  });

  it('exports nothing but workflows from the index of the workflows', () => {
    const exported = [...textOf('workflows/index.ts').matchAll(/^export (.*)$/gm)].map(([, what]) => what);
    assert.deepEqual(exported, [
      "{ deliverWebhook } from './deliverWebhook.ts';",
      "{ fireSchedule } from './fireSchedule.ts';",
      "{ runPipeline } from './runPipeline.ts';",
      "{ sweepRuns } from './sweepRuns.ts';",
    ]);
  });

  it('names the parameters of SQL and never counts them, but for migrations and tests', () => {
    const counted = codeFiles
      .filter((file) => !/^test\/|^domain\/sql\.ts$|^adapters\/postgres\/migrations\//.test(file))
      .flatMap((file) =>
        textOf(file)
          .split('\n')
          // `$1` is also what the text of a regular expression's group is called.
          .filter((line) => /\$\d/.test(line) && !/\.replace(All)?\(/.test(line))
          .map((line) => `${file}: ${line.trim()}`),
      );
    assert.deepEqual(counted, []);
  });

  it('leaves no task behind in a comment', () => {
    const marker = /\b(TODO|FIXME|XXX|HACK)\b/;
    const left = codeFiles.filter((file) => file !== 'test/tidy.test.ts' && marker.test(textOf(file)));
    assert.deepEqual(left, []);
  });
});
