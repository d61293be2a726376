export interface Question {
  title: string;
  /** What follows from it, in a sentence. */
  body?: string;
  /** What goes, by name. */
  items?: string[];
  /** A verb: `Delete experiment`. */
  action: string;
  cancel?: string;
  danger?: boolean;
}

/** Asks before what cannot be undone: `if (await confirmation.ask({…})) …`. */
export class Confirmation {
  question = $state.raw<Question | null>(null);
  #answer: ((answer: boolean) => void) | null = null;

  ask(question: Question): Promise<boolean> {
    this.answer(false);
    this.question = question;
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  answer(answer: boolean): void {
    this.#answer?.(answer);
    this.#answer = null;
    this.question = null;
  }
}
