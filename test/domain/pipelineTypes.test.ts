import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const file = fileURLToPath(new URL('./pipeline.types.ts', import.meta.url));

test('each compile error of a definition says what is wrong, and there is no other', () => {
  // Without the directives the errors come out, at the lines where they stood.
  const text = readFileSync(file, 'utf8').replaceAll('@ts-expect-error', 'expected');
  const messages = compile(text);
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    if (!line.includes('// expected')) continue;
    const message = messages.get(i + 1);
    assert.ok(message, `line ${i + 2} compiles: ${lines[i + 1]}`);
    const wanted = /\/\/ ERROR: (.*)$/.exec(lines[i - 1] ?? '')?.[1];
    if (wanted) assert.ok(message.includes(wanted), `line ${i + 2} says: ${message}`);
    messages.delete(i + 1);
  }
  assert.deepEqual([...messages], []);
});

/** Messages by line, from 0. */
function compile(text: string): Map<number, string> {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.');
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (name, languageVersion, ...rest) =>
    name === file
      ? ts.createSourceFile(name, text, languageVersion)
      : getSourceFile(name, languageVersion, ...rest);
  const program = ts.createProgram([file], options, host);
  const source = program.getSourceFile(file);
  const diagnostics = [...program.getSemanticDiagnostics(source), ...program.getSyntacticDiagnostics(source)];
  return new Map(
    diagnostics.map((d) => [
      source!.getLineAndCharacterOfPosition(d.start ?? 0).line,
      ts.flattenDiagnosticMessageText(d.messageText, '\n'),
    ]),
  );
}
