import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contract, contractText, parseContract } from '../../domain/contracts/contract.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';

/** Where the contract of a pipeline is kept in git. */
function contractPath(folder: string, pipeline: string): string {
  return join(folder, 'contracts', `${pipeline}.json`);
}

/** `undefined` where none is recorded. Throws `DefinitionError` where the file is no contract of the pipeline. */
export async function readContractFile(folder: string, pipeline: string): Promise<Contract | undefined> {
  const path = contractPath(folder, pipeline);
  try {
    const contract = parseContract(await readFile(path, 'utf8'));
    if (contract.pipeline === pipeline) return contract;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  }
  const message = `is no contract of ${pipeline}. Restore it from git, or delete it and run waybill contracts`;
  throw new DefinitionError(path, [{ path: '', message }]);
}

/** Resolves with whether the file has changed. */
export async function writeContractFile(folder: string, contract: Contract): Promise<boolean> {
  const path = contractPath(folder, contract.pipeline);
  const text = contractText(contract);
  if ((await readFile(path, 'utf8').catch(() => '')) === text) return false;
  await mkdir(join(folder, 'contracts'), { recursive: true });
  await writeFile(path, text);
  return true;
}
