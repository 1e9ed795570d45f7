// Counts in the head follow the service; new recordings are offered, and never move what somebody reads.
'use strict'
{
  const head = document.querySelector('.live[data-events]'), offer = document.querySelector('[data-new]')
  const all = name => document.querySelectorAll(`[data-live=${name}]`)
  if (head && window.EventSource) {
    let newest = null, lost = 0
    const source = new EventSource(head.dataset.events)
    source.onmessage = event => {
      const now = JSON.parse(event.data)
      lost = 0
      for (const name of ['waiting', 'analyzing']) for (const el of all(name)) el.textContent = now[name].toLocaleString('en')
      for (const el of all('word')) { el.textContent = now.word; el.className = 'st ' + now.kind }
      if (newest !== null && now.newest > newest && offer) {
        const count = now.newest - newest
        offer.querySelector('a').textContent = count === 1 ? '1 new call, show' : `${count} new calls, show`
        offer.hidden = false
      } else newest ??= now.newest
    }
    source.onerror = () => {
      if (!lost) lost = new Date()
      const clock = lost.toTimeString().slice(0, 5)
      for (const el of all('word')) { el.textContent = `Not live since ${clock}, reload to see the latest`; el.className = 'st off' }
    }
    addEventListener('pagehide', () => source.close())
  }
}
