import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { thePlane } from './plane.ts';

export const CHART = join(import.meta.dirname, '..', '..', 'manifests', 'chart');
const NAMESPACE = 'openebs';

export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Against the control plane: what it printed, or ProgramError with what it complained of. */
const runProgram = (name: string, args: readonly string[], input = ''): Promise<string> =>
  new Promise((resolve, reject) => {
    const plane = thePlane();
    const child = spawn(plane.program(name), args, {
      env: { ...process.env, KUBECONFIG: plane.kubeconfig, HOME: plane.directory },
    });
    let output = '';
    let complaints = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new ProgramError(`${name} ${args.join(' ')}: ${complaints}${output}`));
    });
    child.stdin.end(input);
  });

export const kubectl = (args: readonly string[], input?: string): Promise<string> =>
  runProgram('kubectl', args, input);

export const helm = (args: readonly string[]): Promise<string> => runProgram('helm', args);

/** `values`: by path, as in `--set-json`. */
export const renderChart = (values: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  helm([
    ...['template', 'openebs', CHART, '--namespace', NAMESPACE, '--include-crds'],
    ...Object.entries(values).flatMap(([path, value]) => [
      '--set-json',
      `${path}=${JSON.stringify(value)}`,
    ]),
  ]);
