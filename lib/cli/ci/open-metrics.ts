import type { MadeImage } from '../command.js';
import type { Outcome } from './outcome.js';

/**
 * OpenMetrics 1.0 text for GitLab's metrics report. Images are labelled by repository, because a tag with the commit would
 * make every metric a new one. Of several images of a repository the last counts; bytes sent or received are summed.
 */
export function openMetricsText({ command, result, exitCode, seconds }: Outcome): string {
  const repositories = new Map<string, MadeImage[]>();
  for (const made of result?.made ?? []) {
    const repository = repositoryOf(made.image);
    repositories.set(repository, [...(repositories.get(repository) ?? []), made]);
  }
  const images = [...repositories].map(([repository, all]) => ({ labels: { command, repository }, all }));
  const sized = images.flatMap(({ labels, all }) => {
    const size = all.findLast(({ size: bytes }) => bytes !== undefined)?.size;
    return size === undefined ? [] : [{ labels, value: size }];
  });
  const moved = images.flatMap(({ labels, all }) => {
    const bytes = all.flatMap((made) => made.bytes ?? []);
    return bytes.length === 0 ? [] : [{ labels, value: bytes.reduce((sum, value) => sum + value, 0) }];
  });
  const steps = result?.steps ?? [];
  const cached = steps.filter(({ isCached }) => isCached).length;
  return [
    ...metric('imgtool_success', 'Whether the command ended with exit code 0.', [
      { labels: { command }, value: exitCode === 0 ? 1 : 0 },
    ]),
    ...metric('imgtool_seconds', 'How long the command took.', [
      { labels: { command }, value: Number(seconds.toFixed(3)) },
    ]),
    ...metric('imgtool_image_size_bytes', 'Compressed size of the image.', sized),
    ...metric('imgtool_transferred_bytes', 'Bytes sent or received.', moved),
    ...metric(
      'imgtool_build_steps',
      'Steps of the build.',
      steps.length === 0
        ? []
        : [
            { labels: { command, cached: 'true' }, value: cached },
            { labels: { command, cached: 'false' }, value: steps.length - cached },
          ],
    ),
    '# EOF\n',
  ].join('\n');
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function metric(name: string, help: string, samples: readonly Sample[]): string[] {
  if (samples.length === 0) return [];
  const lines = samples.map(({ labels, value }) => {
    const texts = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    return `${name}{${texts.join(',')}} ${value}`;
  });
  return [`# TYPE ${name} gauge`, `# HELP ${name} ${help}`, ...lines];
}

function repositoryOf(image: string): string {
  return image.replace(/@[^/]*$/, '').replace(/:[^:/]*$/, '');
}

function escapeLabel(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}
