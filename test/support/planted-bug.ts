/** A defect put into a daemon on purpose, to see that a test finds it. */
export interface PlantedBug {
  /** The end of a module's path. */
  readonly module: string;
  /** Source text that occurs once there, and what takes its place. */
  readonly text: string;
  readonly instead: string;
}

/** Node's flags for a daemon that has the bug. Where the text is not found it does not start. */
export function plant(bug: PlantedBug): string[] {
  const hook = `
    import { registerHooks } from 'node:module';
    const { module, text, instead } = ${JSON.stringify(bug)};
    registerHooks({
      load(url, context, nextLoad) {
        const loaded = nextLoad(url, context);
        if (!url.endsWith(module)) return loaded;
        const source = String(loaded.source);
        if (source.split(text).length !== 2) throw new Error(module + ' lacks: ' + text);
        return { ...loaded, source: source.replace(text, () => instead) };
      },
    });`;
  return ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
}
