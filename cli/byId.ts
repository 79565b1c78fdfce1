import type { Command } from 'commander';

/** A command about one thing of a kind. */
export function byId(commands: Command, name: string, description: string): Command {
  return commands.command(name).description(description).argument('<id>');
}
