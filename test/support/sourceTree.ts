import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface Import {
  file: string;
  /** A path from the root of the repository, or the name of a package. */
  target: string;
  local: boolean;
  kind: 'value' | 'type' | 'dynamic';
}

/** All files of the repository that git tracks or would track. */
export const trackedFiles: readonly string[] = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard'],
  { encoding: 'utf8', maxBuffer: 2 ** 26 },
)
  .split('\n')
  .filter((file) => file && existsSync(file));

/** The TypeScript and JavaScript that people write. */
export const codeFiles = trackedFiles.filter(
  (file) => /\.(ts|js)$/.test(file) && !/\.d\.ts$|\/generated\//.test(file),
);

/** What people read: code, pages, settings. Not what tools or other parties write. */
export const proseFiles = trackedFiles.filter(
  (file) =>
    /\.(ts|js|md|json|ya?ml|toml|cedar|sql|sh|html|xml)$|(^|\/)(Dockerfile|run)$/.test(file) &&
    !/package-lock\.json$|\/histories\/|^bench\/results\/|\/generated\/|\/data\//.test(file),
);

const texts = new Map<string, string>();

/** The text of a file, read once. */
export function textOf(file: string): string {
  let text = texts.get(file);
  if (text === undefined) {
    text = readFileSync(file, 'utf8');
    texts.set(file, text);
  }
  return text;
}

/** The code of a file without its comments. */
export function codeOf(file: string): string {
  return textOf(file).replaceAll(/\/\*[\s\S]*?\*\/|(?<!['":])\/\/.*$/gm, '');
}

export const folderOf = (file: string) => file.split('/')[0]!;

function importsOf(file: string): Import[] {
  const text = textOf(file);
  const fixed = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)';?$/gm);
  const dynamic = codeOf(file).matchAll(/\bimport\(\s*'([^']+)'\s*\)/g);
  const found = [
    ...[...fixed].map(([, type, target]) => ({ target: target!, kind: type ? 'type' : 'value' }) as const),
    ...[...dynamic].map(([, target]) => ({ target: target!, kind: 'dynamic' }) as const),
  ];
  return found.map(({ target, kind }) => {
    const local = target.startsWith('.');
    return { file, kind, local, target: local ? normalize(join(dirname(file), target)) : target };
  });
}

export const imports: readonly Import[] = codeFiles.flatMap(importsOf);

/** Sets of files each of which imports, over others of its set, itself (Tarjan 1972). */
export function importCircles(): string[][] {
  const next = new Map<string, string[]>();
  for (const { file, target, local } of imports)
    if (local) next.set(file, [...(next.get(file) ?? []), target]);
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): void => {
    const at = index.size;
    index.set(file, at);
    low.set(file, at);
    stack.push(file);
    for (const target of next.get(file) ?? []) {
      if (!index.has(target)) visit(target);
      else if (!stack.includes(target)) continue;
      low.set(file, Math.min(low.get(file)!, low.get(target)!));
    }
    if (low.get(file) !== at) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1 || next.get(file)?.includes(file)) circles.push(circle);
  };
  for (const file of next.keys()) if (!index.has(file)) visit(file);
  return circles;
}

/** Which files declare and export a name; names that a file only passes on from another do not count. */
export function exportedNames(files: readonly string[]): Map<string, string[]> {
  const declared =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|class|interface|type|enum|function\*?) (\w+)/gm;
  const names = new Map<string, string[]>();
  for (const file of files) {
    for (const name of new Set([...textOf(file).matchAll(declared)].map(([, name]) => name!)))
      names.set(name, [...(names.get(name) ?? []), file]);
  }
  return names;
}
