import { join, resolve } from 'node:path';
import { ADMIN_TOKEN_FILE, READ_ONLY_TOKEN_FILE, readTokenFile } from '../api/token-files.ts';
import { defaultDataDirectory, readServerFile } from '../server-file.ts';
import { ApiClient } from './api-client.ts';
import { connectToCluster } from './cluster-connection.ts';
import { CliFailure, EXIT } from './failure.ts';

export interface ConnectionOptions {
  readonly dataDir?: string;
  readonly server?: string;
  readonly token?: string;
  readonly kubeconfig?: string;
  readonly namespace: string;
}

/** Finds the system: by --server and --token, in a cluster, else by its data directory. */
export async function connect(options: ConnectionOptions): Promise<ApiClient> {
  if (options.server !== undefined) return connectTo(options.server, options);
  if (options.kubeconfig !== undefined) {
    return connectToCluster({ ...options, kubeconfig: options.kubeconfig });
  }
  const directory = resolve(options.dataDir ?? defaultDataDirectory());
  const server = await allowed(directory, () => readServerFile(directory));
  if (server === null) throw notRunning(directory, options.dataDir !== undefined);
  const token =
    options.token ??
    (await allowed(directory, () => readTokenFile(join(directory, ADMIN_TOKEN_FILE)))) ??
    (await allowed(directory, () => readTokenFile(join(directory, READ_ONLY_TOKEN_FILE))));
  return new ApiClient({ url: server.apiUrl, token, start: startCommand(directory) });
}

async function connectTo(server: string, options: ConnectionOptions): Promise<ApiClient> {
  const url = /^https?:\/\//.test(server) ? server : `http://${server}`;
  if (!URL.canParse(url)) {
    throw new CliFailure(EXIT.usage, `"${server}" is no address of a server`, {
      next: 'write it like --server http://127.0.0.1:5656',
    });
  }
  const directory = resolve(options.dataDir ?? defaultDataDirectory());
  // The token of this host's own system is only for that system.
  const own = await readServerFile(directory).catch(() => null);
  const isOwn = own !== null && new URL(own.apiUrl).origin === new URL(url).origin;
  const token =
    options.token ?? (isOwn ? await readTokenFile(join(directory, ADMIN_TOKEN_FILE)) : null);
  if (token === null) {
    throw new CliFailure(EXIT.usage, '--server needs a token', {
      next: 'give --token or OPENEBS_TOKEN; it is in the file "token" of the data directory',
    });
  }
  return new ApiClient({ url, token, start: null });
}

async function allowed<T>(directory: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new CliFailure(EXIT.error, `${directory} cannot be read: ${words(error)}`, {
      next: 'run mayactl as the user who started OpenEBS, or use --server and --token',
      cause: error,
    });
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function notRunning(directory: string, isGiven: boolean): CliFailure {
  return new CliFailure(EXIT.unreachable, `no OpenEBS runs in ${directory}`, {
    next: isGiven
      ? `start it: ${startCommand(directory)}`
      : 'start it with: npm start; or say where it is: --data-dir DIR, or --server URL --token T',
  });
}

function startCommand(directory: string): string {
  return directory === defaultDataDirectory()
    ? 'npm start'
    : `npm start -- --data-dir ${directory}`;
}
