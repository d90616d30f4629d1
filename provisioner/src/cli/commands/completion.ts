import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';

export const SHELLS: readonly string[] = ['bash', 'zsh'];

/**
 * Completes commands and options from the program itself, and names of volumes from the system that
 * answers.
 */
export function completion(context: CliContext, program: Command, shell: string): Promise<number> {
  const script = bashScript(program);
  context.out(shell === 'zsh' ? `autoload -U +X bashcompinit && bashcompinit\n${script}` : script);
  return Promise.resolve(EXIT.ok);
}

function bashScript(program: Command): string {
  const cases = [program, ...program.commands, ...program.commands.flatMap((c) => [...c.commands])]
    .map((command) => {
      const words = [...command.commands.map((sub) => sub.name()), ...optionsOf(command, program)];
      return `    '${pathOf(command)}') words='${words.join(' ')}' ;;`;
    })
    .join('\n');
  const named = program.commands
    .flatMap((group) => [...group.commands])
    .filter(
      (command) => command.registeredArguments[0]?.name() === 'name' && command.name() !== 'create',
    )
    .map((command) => `'${pathOf(command)}'`)
    .join('|');
  return `# mayactl completion; load it with: source <(mayactl completion bash)
_mayactl() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' words='' word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      ${valueOptions(program)}) ((i++)) ;;
      -*) ;;
      *) path="\${path:+$path }$word" ;;
    esac
  done
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    -o|--output) COMPREPLY=($(compgen -W 'table wide json yaml name' -- "$current")); return ;;
    --data-dir) COMPREPLY=($(compgen -d -- "$current")); return ;;
  esac
  case "$path" in
${cases}
  esac
  case "$path" in
    ${named}) words="$words $(mayactl volume list -o name 2>/dev/null)" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _mayactl mayactl
`;
}

function optionsOf(command: Command, program: Command): string[] {
  const options = command === program ? program.options : [...command.options, ...program.options];
  return [...new Set(options.map((option) => option.long ?? option.short ?? ''))].filter(
    (flag) => flag !== '',
  );
}

function valueOptions(program: Command): string {
  return program.options
    .filter(({ required, optional }) => required || optional)
    .flatMap(({ short, long }) => [short, long])
    .filter((flag) => flag !== undefined)
    .join('|');
}

function pathOf(command: Command): string {
  const names: string[] = [];
  for (let each: Command | null = command; each.parent !== null; each = each.parent) {
    names.unshift(each.name());
  }
  return names.join(' ');
}
