export function sharedData(...path: string[]): string | undefined;
export function demoModel(): string;
