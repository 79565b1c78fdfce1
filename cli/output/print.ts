/** What a command was asked for: lines for a person or, under `--json`, one document. */
export function printResult(json: boolean | undefined, value: unknown, lines: () => readonly string[]): void {
  process.stdout.write(
    json
      ? `${JSON.stringify(value)}\n`
      : lines()
          .map((line) => `${line}\n`)
          .join(''),
  );
}

/** What is said beside: never part of what was asked for. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
