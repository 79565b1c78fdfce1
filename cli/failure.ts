import { CommanderError } from 'commander';
import { WaybillError } from '../domain/errors.ts';
import { SettingsError } from '../domain/settings.ts';
import { ApiUnreachable, ProblemError } from '../sdk/client.ts';
import { CliError, exitCode } from './context.ts';
import { plain } from './output/terminal.ts';

/** What a failed command prints, as a line and as JSON, and its exit code. */
export interface Failure {
  exitCode: number;
  line: string;
  json: { code: string; message: string; [more: string]: unknown };
}

/** Without a stack: the line says what is wrong and what to do. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ProblemError) return ofProblem(error);
  if (error instanceof WaybillError) return named(error.code, error.detail ?? error.message, exitCode.failed);
  if (error instanceof ApiUnreachable)
    return named('ApiUnreachable', `${error.message} Is it running?`, exitCode.failed);
  if (error instanceof SettingsError) return named('Usage', error.message, exitCode.usage, true);
  if (error instanceof CommanderError)
    return named('Usage', error.message.replace(/^error: /, ''), exitCode.usage, true);
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof CliError)) return named('Failed', message, exitCode.failed, true);
  return named(error.exitCode === exitCode.usage ? 'Usage' : 'Failed', message, error.exitCode, true);
}

/** Prints the failure and sets the exit code. */
export function reportFailure(error: unknown, json: boolean | undefined): void {
  const failure = failureOf(error);
  // Commander has said it already.
  if (!(error instanceof CommanderError)) console.error(failure.line);
  if (json) console.log(JSON.stringify({ error: failure.json }));
  process.exitCode = failure.exitCode;
}

function named(code: string, message: string, exit: number, unnamed = false): Failure {
  const text = plain(message);
  return { exitCode: exit, line: unnamed ? text : `${code}: ${text}`, json: { code, message } };
}

function ofProblem({ problem }: ProblemError): Failure {
  const { status, code, title, traceId, issues = [], denied } = problem;
  const where = issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
  // Only an operator who reads the logs needs it.
  const trace = status >= 500 && traceId ? ` (trace ${traceId})` : '';
  const what = denied ? `You may not ${denied.action} ${denied.resource}. Ask ${denied.ask}.` : title;
  return {
    exitCode: exitOf(problem),
    line: plain(`${code}: ${what}${where && ` ${where}`}${trace}`),
    json: {
      code,
      message: what,
      status,
      traceId,
      ...(issues.length > 0 && { issues }),
      ...(denied && { denied }),
    },
  };
}

function exitOf({ status, code }: ProblemError['problem']): number {
  if (code === 'ApprovalTampered') return exitCode.tampered;
  // The API answers 404 for what belongs to another tenant, too, so that it does not tell whether it exists.
  return status === 401 || status === 403 || status === 404 ? exitCode.denied : exitCode.failed;
}
