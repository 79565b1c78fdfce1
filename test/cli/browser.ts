/**
 * As much of a browser as the pages of the embedded identity provider need: cookies, redirects, and forms that are
 * filled in.
 */
export function openBrowser() {
  const cookies = new Map<string, string>();

  async function visit(url: string, init: RequestInit = {}): Promise<Page> {
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      headers: { cookie: [...cookies].map((pair) => pair.join('=')).join('; '), ...init.headers },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie)!;
      if (value === '') cookies.delete(name);
      else cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location !== null) return visit(new URL(location, url).href);
    return { url, status: response.status, html: await response.text() };
  }

  /** Sends the first form of a page. */
  async function submit({ url, html }: Page, fill: Record<string, string> = {}): Promise<Page> {
    const action = attribute(/<form\b[^>]*>/.exec(html)?.[0] ?? '', 'action');
    if (action === undefined) throw new Error(`${url} has no form: ${html}`);
    const fields = [...html.matchAll(/<input\b[^>]*>/g)].flatMap(([input]) => {
      const [name, value] = [attribute(input, 'name'), attribute(input, 'value')];
      return name === undefined || value === undefined ? [] : [[name, value] as const];
    });
    const body = new URLSearchParams({ ...Object.fromEntries(fields), ...fill });
    return visit(new URL(action, url).href, { method: 'POST', body });
  }

  return {
    visit,
    submit,
    /** The pages of the device flow: the code, whether it is the same, sign in, agree. */
    async signIn(verificationUri: string, name: string): Promise<Page> {
      let page = await submit(await submit(await visit(verificationUri)));
      if (/name="login"/.test(page.html)) page = await submit(page, { login: name, password: 'any' });
      return /value="consent"/.test(page.html) ? submit(page) : page;
    },
    /** The first pages of the device flow; the user declines. */
    async decline(verificationUri: string): Promise<Page> {
      return submit(await submit(await visit(verificationUri)), { abort: 'yes' });
    },
    /** The pages of RP-initiated logout, for all clients of the session. */
    async signOut(endSessionUrl: string): Promise<Page> {
      return submit(await visit(endSessionUrl), { logout: 'yes' });
    },
  };
}

interface Page {
  url: string;
  status: number;
  html: string;
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
}
