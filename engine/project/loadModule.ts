import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { basename, dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import type { Manifest } from '../../domain/pipelines/manifest.ts';
import { type AnyPipeline, isPipeline } from '../../domain/pipelines/pipeline.ts';

/**
 * Imports one pipeline module and computes the digest of its definition. Any process or thread may call it; the
 * digest is the same wherever the project lies. Throws `DefinitionError`.
 */
export async function loadModule(modulePath: string): Promise<{ pipeline: AnyPipeline; digest: string }> {
  const pipeline = await importPipeline(modulePath);
  return { pipeline, digest: definitionDigestOf(pipeline.manifest, bundleModule(modulePath)) };
}

/**
 * The same of a bundle that `bundleModule` made and that was kept. Its packages are found as from `resolveFrom`, a file of the project.
 * Throws `DefinitionError`.
 */
export async function loadBundle(
  bundlePath: string,
  resolveFrom: string,
): Promise<{ pipeline: AnyPipeline; digest: string }> {
  resolvePackagesFrom(bundlePath, resolveFrom);
  const pipeline = await importPipeline(bundlePath);
  return { pipeline, digest: definitionDigestOf(pipeline.manifest, await readFile(bundlePath, 'utf8')) };
}

const bases = new Map<string, string>();

/** A kept bundle lies outside of the project, where its packages are not. */
function resolvePackagesFrom(bundlePath: string, resolveFrom: string): void {
  if (bases.size === 0)
    registerHooks({
      resolve(specifier, context, next) {
        const base = bases.get(context.parentURL ?? '');
        return next(specifier, base ? { ...context, parentURL: base } : context);
      },
    });
  bases.set(pathToFileURL(bundlePath).href, pathToFileURL(resolveFrom).href);
}

async function importPipeline(modulePath: string): Promise<AnyPipeline> {
  const module = await import(pathToFileURL(modulePath).href).catch((cause: unknown) => {
    if (cause instanceof DefinitionError) throw new DefinitionError(modulePath, cause.issues);
    const message = `does not load: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new DefinitionError(modulePath, [{ path: '', message }]);
  });
  if (isPipeline(module.default)) return module.default;
  throw new DefinitionError(modulePath, [
    { path: '', message: 'must `export default definePipeline({ … })`' },
  ]);
}

/**
 * The module with every file of the project that it imports, as one text. Comments, white space and types do not
 * reach it; packages stay imports, so that upgrading one does not change a definition (the lock file says which).
 * `buildSync` runs esbuild in a child that ends with the call: no service stays in memory.
 */
export function bundleModule(modulePath: string): string {
  try {
    const { outputFiles } = buildSync({
      entryPoints: [basename(modulePath)],
      absWorkingDir: dirname(modulePath),
      bundle: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      target: 'esnext',
      minifyWhitespace: true,
      legalComments: 'none',
      charset: 'utf8',
      tsconfigRaw: '{}',
      logLevel: 'silent',
      write: false,
    });
    return outputFiles[0]!.text;
  } catch (error) {
    const message = `cannot be bundled: ${error instanceof Error ? error.message : String(error)}`;
    throw new DefinitionError(modulePath, [{ path: '', message }]);
  }
}

/** Lower-case hex SHA-256 over the manifest and the code, so that changed code is a changed definition. */
export function definitionDigestOf(manifest: Manifest, code: string): string {
  return createHash('sha256').update(canonicalJson(manifest)).update('\0').update(code).digest('hex');
}

/** Keys sorted: two ways to write the same manifest have one digest. The order of columns and keys is data. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
