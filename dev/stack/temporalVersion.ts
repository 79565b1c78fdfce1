/** Why a server cannot be used, or `undefined` where it can. `output` is what `temporal --version` prints. */
export function refusalOf(output: string): string | undefined {
  const match = /Server (\d+)\.(\d+)\.(\d+)/.exec(output);
  if (!match) return 'it does not say which server it holds';
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number];
  const version = `${major}.${minor}.${patch}`;
  if (major !== 1) return `server ${version} is not of the generation that Waybill knows (1.29 or later)`;
  if (minor < 29) return `server ${version} is older than 1.29.5`;
  if ((minor === 29 && patch <= 4) || (minor === 30 && patch <= 2))
    return `server ${version} is touched by CVE-2026-5199`;
  return undefined;
}
