/** Where a daemon listens, or whom it dials. */
export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** What was typed is no address; the message says what is allowed. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

/** sockaddr_un.sun_path holds 108 bytes with its final zero (unix(7)). */
const MAX_UNIX_PATH_BYTES = 107;

/** `host:port`, `[v6]:port` or `unix:/path`. Port 0 means any free one. Throws AddressError. */
export const parseAddress = (text: string): Address => {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (!path.startsWith('/')) {
      throw new AddressError(`"${text}": the path of a unix socket must be absolute (unix:/path)`);
    }
    const bytes = Buffer.byteLength(path);
    if (bytes > MAX_UNIX_PATH_BYTES) {
      throw new AddressError(
        `"${text}": the path has ${bytes} bytes, a unix socket's may have ` +
          `${MAX_UNIX_PATH_BYTES}; choose a shorter directory`,
      );
    }
    return { kind: 'unix', path };
  }
  const match = /^(?:\[([0-9a-f:.%a-z]+)\]|([^:[\]/\s]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    throw new AddressError(
      `"${text}" is no address; write host:port, [IPv6 address]:port or unix:/path`,
    );
  }
  return { kind: 'tcp', host, port };
};

export const formatAddress = (address: Address): string => {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
};
