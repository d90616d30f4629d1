import { ProtocolError } from './errors.ts';

/**
 * A JSON object from the wire, read field by field; each getter throws MALFORMED_JSON with the
 * field's path. Unknown fields are ignored, so that a later release may add some.
 */
export class Fields {
  readonly #path: string;
  readonly #values: Readonly<Record<string, unknown>>;

  private constructor(path: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new ProtocolError('MALFORMED_JSON', `${path} must be an object`);
    }
    this.#path = path;
    this.#values = value as Record<string, unknown>;
  }

  static parse(path: string, payload: Uint8Array): Fields {
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(payload).toString('utf8'));
    } catch (cause) {
      throw new ProtocolError('MALFORMED_JSON', `${path} is no JSON`, { cause });
    }
    return new Fields(path, value);
  }

  /** For what an older release does not send. */
  has(name: string): boolean {
    return Object.hasOwn(this.#values, name);
  }

  object(name: string): Fields {
    return new Fields(`${this.#path}.${name}`, this.#get(name));
  }

  nullableObject(name: string): Fields | null {
    return this.#get(name) === null ? null : this.object(name);
  }

  text(name: string, maxLength: number): string {
    const value = this.#get(name);
    if (typeof value !== 'string' || value.length > maxLength) {
      throw this.wrong(name, `a string of at most ${maxLength} characters`);
    }
    return value;
  }

  nullableText(name: string, maxLength: number): string | null {
    return this.#get(name) === null ? null : this.text(name, maxLength);
  }

  matching(name: string, pattern: RegExp, what: string): string {
    const value = this.#get(name);
    if (typeof value !== 'string' || !pattern.test(value)) throw this.wrong(name, what);
    return value;
  }

  count(name: string): number {
    const value = this.#get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw this.wrong(name, 'a whole number from 0 to 2^53 - 1');
    }
    return value;
  }

  nullableCount(name: string): number | null {
    return this.#get(name) === null ? null : this.count(name);
  }

  flag(name: string): boolean {
    const value = this.#get(name);
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false');
    return value;
  }

  list(name: string, maxEntries: number): readonly unknown[] {
    const value = this.#get(name);
    if (!Array.isArray(value) || value.length > maxEntries) {
      throw this.wrong(name, `a list of at most ${maxEntries} entries`);
    }
    return value;
  }

  objects(name: string, maxEntries: number): Fields[] {
    return this.list(name, maxEntries).map(
      (value, index) => new Fields(`${this.#path}.${name}[${index}]`, value),
    );
  }

  texts(name: string, maxEntries: number, pattern: RegExp, what: string): string[] {
    return this.list(name, maxEntries).map((value) => {
      if (typeof value !== 'string' || !pattern.test(value)) throw this.wrong(name, what);
      return value;
    });
  }

  counts(name: string, maxEntries: number): number[] {
    return this.list(name, maxEntries).map((value) => {
      if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
        throw this.wrong(name, 'a list of whole numbers');
      }
      return value;
    });
  }

  /** All values, which must be numbers: counters. */
  numbers(name: string): Record<string, number> {
    const inner = this.object(name);
    const numbers: Record<string, number> = {};
    for (const [key, value] of Object.entries(inner.#values)) {
      if (typeof value !== 'number') throw inner.wrong(key, 'a number');
      numbers[key] = value;
    }
    return numbers;
  }

  wrong(name: string, what: string): ProtocolError {
    return new ProtocolError('MALFORMED_JSON', `${this.#path}.${name} must be ${what}`);
  }

  #get(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }
}
