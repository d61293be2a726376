import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

// Tokens are read from the style sheet itself, so that a changed colour is measured, not a copy.
const css = readFileSync(new URL('./app.css', import.meta.url), 'utf8');

type Tokens = Record<string, string>;

function block(selector: string): Tokens {
  const start = css.indexOf(`${selector} {`);
  const body = css.slice(start, css.indexOf('\n}', start));
  return Object.fromEntries([...body.matchAll(/--([a-z0-9-]+):\s*(#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]));
}

const themes: Record<string, Tokens> = { light: block(':root'), dark: block("[data-theme='dark']") };

function linear(hex: string): [number, number, number] {
  const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
  return parts.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)) as [number, number, number];
}

function luminance(hex: string): number {
  const [red, green, blue] = linear(hex);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

// Machado et al. 2009, severity 1, on linear light.
const blindness: Record<string, number[][]> = {
  none: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
};

function oklab([red, green, blue]: number[]): number[] {
  const l = Math.cbrt(Math.max(0, 0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue));
  const m = Math.cbrt(Math.max(0, 0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue));
  const s = Math.cbrt(Math.max(0, 0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue));
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function distance(one: string, other: string, matrix: number[][]): number {
  const [first, second] = [one, other].map((hex) => {
    const light = linear(hex);
    return oklab(matrix.map((row) => row.reduce((sum, weight, at) => sum + weight * light[at], 0)));
  });
  return Math.hypot(...first.map((value, at) => value - second[at]));
}

describe.each(Object.keys(themes))('%s theme', (name) => {
  const tokens = themes[name];

  test.each(['text', 'muted', 'faint', 'accent', 'positive', 'caution', 'critical', 'info'])('%s is readable on every ground', (role) => {
    for (const ground of ['canvas', 'surface', 'raised', 'well', 'hover']) {
      expect(contrast(tokens[role], tokens[ground]), `${role} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    }
  });

  test.each(['accent', 'positive', 'caution', 'critical', 'info'])('%s is readable on its soft ground', (role) => {
    expect(contrast(tokens[role], tokens[`${role}-soft`])).toBeGreaterThanOrEqual(4.5);
  });

  test('text is readable on accent grounds', () => {
    for (const [text, ground] of [['on-accent', 'accent'], ['on-accent', 'accent-hover'], ['on-danger', 'danger'], ['on-danger', 'danger-hover'], ['text', 'accent-soft'], ['muted', 'accent-soft']]) {
      expect(contrast(tokens[text], tokens[ground]), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    }
  });

  test('the edge of a control can be seen', () => {
    for (const ground of ['canvas', 'surface', 'raised']) {
      expect(contrast(tokens['line-strong'], tokens[ground]), ground).toBeGreaterThanOrEqual(3);
    }
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('series %d can be seen', (number) => {
    expect(contrast(tokens[`series-${number}`], tokens.surface)).toBeGreaterThanOrEqual(2.9);
  });

  test.each(Object.keys(blindness))('series differ under %s', (kind) => {
    for (let one = 1; one <= 8; one += 1) {
      for (let other = one + 1; other <= 8; other += 1) {
        const apart = distance(tokens[`series-${one}`], tokens[`series-${other}`], blindness[kind]);
        expect(apart, `series ${one} and ${other}`).toBeGreaterThanOrEqual(0.06);
      }
    }
  });
});
