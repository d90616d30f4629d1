import type { CliContext } from '../context.ts';
import { EXIT } from '../failure.ts';
import { structured } from '../output.ts';
import { ProgressLine } from '../progress.ts';

export async function scrubVolume(
  context: CliContext,
  name: string,
  options: { watch: boolean },
): Promise<number> {
  const client = await context.client();
  const begun = await client.scrubVolume(name);
  const { output } = context.options;
  if (!options.watch) {
    const text = await structured(output, begun, [name]);
    context.out(
      text ?? `volume ${name} is being scrubbed; see: ${context.mayactl} volume info ${name}\n`,
    );
    return EXIT.ok;
  }
  const progress = new ProgressLine();
  try {
    const done = await client.finish(begun, ({ percent, message }) =>
      progress.show(percent, message),
    );
    progress.clear();
    context.out((await structured(output, done, [name])) ?? `${done.message}\n`);
  } finally {
    progress.clear();
  }
  const { integrity } = await client.volume(name);
  return (integrity?.lostBlocks ?? 0) > 0 ? EXIT.degraded : EXIT.ok;
}
