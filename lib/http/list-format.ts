const { ListFormat } = Intl;

/**
 * `Intl.ListFormat` made when it is used. A package of got makes two while it loads, for messages that are hardly ever wanted,
 * and that reads tables of languages for 15 ms: the bundler puts this in their place.
 */
export class LazyListFormat {
  readonly #given: ConstructorParameters<typeof ListFormat>;

  constructor(...given: ConstructorParameters<typeof ListFormat>) {
    this.#given = given;
  }

  format(list: Iterable<string>): string {
    return new ListFormat(...this.#given).format(list);
  }
}
