import { spawn } from 'node:child_process';
import type { ControlPlane } from './control-plane.ts';

export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Against a control plane: what it printed, or ProgramError with what it complained of. */
export const runProgram = (
  plane: ControlPlane,
  name: string,
  args: readonly string[],
  input = '',
): Promise<string> =>
  new Promise((resolve, reject) => {
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
