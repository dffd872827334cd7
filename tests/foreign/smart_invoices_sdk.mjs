// The official JavaScript SDK reads smart invoices of a sandbox and moves one to its stage of success.
// Arguments: the webhook's address, the invoice's id. Prints what it saw as JSON.
import { B24Hook } from '@bitrix24/b24jssdk'

const entityTypeId = 31
const [address, wanted] = process.argv.slice(2)
const id = Number(wanted)
const b24 = B24Hook.fromWebhookUrl(address)

async function call(method, params) {
  const response = await b24.actions.v2.call.make({ method, params, requestId: method })
  if (!response.isSuccess) throw new Error(response.getErrorMessages().join('; '))
  return response.getData().result
}

const { categories } = await call('crm.category.list', { entityTypeId })
const { item } = await call('crm.item.get', { entityTypeId, id })
const stages = await call('crm.status.list', { filter: { ENTITY_ID: `SMART_INVOICE_STAGE_${item.categoryId}` } })
const success = stages.find(stage => stage.SEMANTICS === 'S').STATUS_ID
const listed = await b24.actions.v2.callList.make({
  method: 'crm.item.list',
  params: { entityTypeId, filter: { '!@stageId': [success] }, select: ['id'] },
  idKey: 'id',
  customKeyForResult: 'items',
  requestId: 'list',
})
const moved = await call('crm.item.update', { entityTypeId, id, fields: { stageId: success } })
const history = await call('crm.stagehistory.list', { entityTypeId, filter: { OWNER_ID: id } })
console.log(JSON.stringify({
  number: item.accountNumber,
  amount: String(item.opportunity),
  funnels: categories.length,
  waiting: listed.getData().map(each => each.id).sort((a, b) => a - b),
  stage: moved.item.stageId,
  history: history.items.map(each => each.STAGE_ID),
}))
b24.destroy()
