import { CHART } from './openebs-system.ts';
import { thePlane } from './plane.ts';
import { runProgram } from './run-program.ts';

const NAMESPACE = 'openebs';

export const kubectl = (args: readonly string[], input?: string): Promise<string> =>
  runProgram(thePlane(), 'kubectl', args, input);

export const helm = (args: readonly string[]): Promise<string> =>
  runProgram(thePlane(), 'helm', args);

/** `values`: by path, as in `--set-json`. */
export const renderChart = (values: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  helm([
    ...['template', 'openebs', CHART, '--namespace', NAMESPACE, '--include-crds'],
    ...Object.entries(values).flatMap(([path, value]) => [
      '--set-json',
      `${path}=${JSON.stringify(value)}`,
    ]),
  ]);
