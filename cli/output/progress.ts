import type { Writable } from 'node:stream';

/** A line that is drawn again and again while something goes on, and is gone when it has ended. */
export interface Progress {
  /** What to show from now on. */
  show(text: string): void;
  /** A line that stays, above what is shown. */
  say(line: string): void;
  /** Takes the line away; with `last`, something remains in its place. */
  end(last?: string): void;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 80;
/** Without a terminal each text is a line of its own, so there are fewer of them. */
const lineMs = 5_000;

/**
 * Progress on a terminal as one moving line, elsewhere as plain lines at most every 5 s. It leaves the keyboard and
 * the cursor alone, so that Ctrl-C and a killed process need nothing put right.
 */
export function openProgress(
  stream: Writable & { isTTY?: boolean; columns?: number },
  indent = '',
): Progress {
  return stream.isTTY ? moving(stream, indent) : lines(stream, indent);
}

function moving(stream: Writable & { columns?: number }, indent: string): Progress {
  let text = '';
  let frame = 0;
  const draw = () => {
    if (!text) return;
    const room = (stream.columns ?? 80) - indent.length - 3;
    stream.write(`\r\x1b[K${indent}${frames[frame++ % frames.length]} ${text.slice(0, room)}`);
  };
  const timer = setInterval(draw, frameMs);
  timer.unref();
  let ended = false;
  return {
    show(next) {
      if (ended) return;
      const first = text === '';
      text = next;
      if (first) draw();
    },
    say(line) {
      stream.write(`${text ? '\r\x1b[K' : ''}${indent}${line}\n`);
      draw();
    },
    end(last) {
      ended = true;
      clearInterval(timer);
      if (text) stream.write('\r\x1b[K');
      text = '';
      if (last !== undefined) stream.write(`${indent}${last}\n`);
    },
  };
}

function lines(stream: Writable, indent: string): Progress {
  let shownAt = performance.now();
  let ended = false;
  return {
    show(text) {
      if (ended || performance.now() - shownAt < lineMs) return;
      shownAt = performance.now();
      stream.write(`${indent}${text}\n`);
    },
    say(line) {
      shownAt = performance.now();
      stream.write(`${indent}${line}\n`);
    },
    end(last) {
      ended = true;
      if (last !== undefined) stream.write(`${indent}${last}\n`);
    },
  };
}
