import { fs, path } from './builtin.ts';

/** RFC 7143 9.2.1: shorter CHAP secrets need protection by IPsec; other secrets are held to it. */
const MIN_SECRET_BYTES = 12;

/** The content of the file without its last newline. Throws RangeError that says what is wrong. */
export const readSecretFile = (file: string): string => {
  let content: string;
  try {
    content = fs.readFileSync(path.resolve(file), 'utf8');
  } catch (error) {
    throw new RangeError(`Cannot read ${file}: ${(error as Error).message}.`, { cause: error });
  }
  const secret = content.replace(/\r?\n$/, '');
  if (Buffer.byteLength(secret) >= MIN_SECRET_BYTES) return secret;
  throw new RangeError(`The secret in ${file} has less than ${MIN_SECRET_BYTES} bytes.`);
};
