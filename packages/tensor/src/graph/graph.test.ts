import { describe, expect, test } from '@jest/globals';
import { ShapeMismatchError } from '../errors.ts';
import { tensor } from '../tensor.ts';
import { evaluate } from './evaluate.ts';
import { Graph } from './graph.ts';

describe('Graph', () => {
  test('one weight is one node', () => {
    const graph = new Graph();
    expect(graph.weight('w', [2, 2])).toBe(graph.weight('w', [2, 2]));
    expect(graph.weightNames).toEqual(['w']);
  });

  test.each<[string, (graph: Graph) => unknown]>([
    ['linear of another width', (g) => g.add('linear', [stream(g), g.weight('w', [4, 5])], { name: 'w' })],
    [
      'bias of another length',
      (g) => g.add('linear', [stream(g), g.weight('w', [4, 3]), g.weight('b', [3])], { name: 'w' }),
    ],
    [
      'add of two widths',
      (g) => g.add('add', [stream(g), g.add('linear', [stream(g), g.weight('w', [4, 3])], { name: 'w' })], {}),
    ],
    ['norm of another width', (g) => g.add('rmsNorm', [stream(g), g.weight('w', [4])], { epsilon: 1 })],
    ['channels outside', (g) => g.add('take', [stream(g)], { channels: Int32Array.of(0, 3) })],
    [
      'heads that do not divide',
      (g) => g.add('rope', [stream(g)], { headDim: 2, rotaryDim: 2, theta: 1, style: 'half' }),
    ],
    ['a missing input', (g) => g.add('mul', [stream(g)], {})],
  ])('refuses %s', (_, build) => {
    expect(() => build(new Graph())).toThrow(ShapeMismatchError);
  });

  test('names the weight whose shape is not the one expected', () => {
    const graph = new Graph();
    stream(graph);
    expect(() => evaluate(graph, [0], () => tensor([2, 3], new Float32Array(6)))).toThrow(
      'embed is [2, 3]; the model needs [4, 3]',
    );
  });

  test('refuses a token outside the vocabulary', () => {
    const graph = new Graph();
    stream(graph);
    expect(() => evaluate(graph, [4], () => tensor([4, 3], new Float32Array(12)))).toThrow(
      'Token 4 is outside the table of 4',
    );
  });
});

function stream(graph: Graph) {
  return graph.add('embed', [graph.add('tokens', [], {}), graph.weight('embed', [4, 3])], {});
}
